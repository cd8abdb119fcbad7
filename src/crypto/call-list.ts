/**
 * Calls of this process's own routines, written down in the arena and carried out together in their order.
 *
 * ```
 *   record:  │ routine │ argument 0 │ 1 │ 2 │ 3 │ 4 │   48 bytes, each a 64-bit number
 * ```
 *
 * Most of a record never changes: it is laid down once, and a packet changes what is its own.
 */
import koffi from "koffi";
import type { Arena } from "../base/index.js";
import type { CallRunner } from "./call-runner.js";

const RECORD_BYTES = 48;
const RECORD_WORDS = RECORD_BYTES / 4;
const ARGUMENTS = 5;
const address = "intptr_t";

/** A routine that takes at most five numbers or addresses. */
export interface Routine {
  readonly address: number;
  readonly call: (...values: number[]) => unknown;
}

/** Throws when this process has no such routine. */
export function routine(name: string): Routine {
  const process = koffi.load(null);
  return {
    address: Number(process.symbol(name)),
    call: process.func(name, "void", Array(ARGUMENTS).fill(address)),
  };
}

export class CallList {
  private readonly arena: Arena;
  private readonly base: number;
  private readonly words: number;
  private readonly list: number;
  private readonly routines: Routine[] = [];
  private readonly runner: CallRunner;

  /** @param runner null: one foreign call each */
  constructor(arena: Arena, records: number, runner: CallRunner | null) {
    const at = arena.reserve(records * RECORD_BYTES);
    this.arena = arena;
    this.base = Number(koffi.address(arena.u8));
    this.words = at >> 2;
    this.list = this.base + at;
    this.runner = runner ?? ((list, records) => this.callEach(list, records));
  }

  /** Numbers are themselves, [offset] is an address in the arena; what is not given is 0 until it is set. */
  lay(record: number, routine: Routine, ...values: (number | readonly [number])[]): void {
    this.routines[record] = routine;
    this.write(this.words + record * RECORD_WORDS, routine.address);
    for (const [i, value] of values.entries()) {
      if (typeof value === "number") this.setNumber(record, i, value);
      else this.setAddress(record, i, value[0]);
    }
  }

  /** Argument `index` of a record is arena byte `offset`. */
  setAddress(record: number, index: number, offset: number): void {
    this.write(this.words + record * RECORD_WORDS + 2 + 2 * index, this.base + offset);
  }

  /** @param value below 2^32 */
  setNumber(record: number, index: number, value: number): void {
    this.arena.u32[this.words + record * RECORD_WORDS + 2 + 2 * index] = value;
  }

  /** Carries out `count` records, at least one. */
  run(first: number, count: number): void {
    this.runner(this.list + first * RECORD_BYTES, count);
  }

  private write(word: number, value: number): void {
    const { u32 } = this.arena;
    u32[word] = value;
    u32[word + 1] = value / 0x1_0000_0000;
  }

  private callEach(list: number, records: number): void {
    const { u32 } = this.arena;
    const first = (list - this.list) / RECORD_BYTES;
    for (let record = first; record < first + records; record++) {
      const word = this.words + record * RECORD_WORDS + 2;
      const at = (i: number): number =>
        (u32[word + 2 * i] as number) + (u32[word + 2 * i + 1] as number) * 0x1_0000_0000;
      (this.routines[record] as Routine).call(at(0), at(1), at(2), at(3), at(4));
    }
  }
}
