/**
 * The packet AEAD (RFC 8439 §2.8 with empty associated data) over batches: packets are collected, and a batch is one
 * foreign call. There are two kinds, and `create.ts` takes the one that is faster on the machine at hand:
 *
 * - **fused** (`fused/`): machine code of our own, cipher and authenticator at once. x86-64 with AVX2.
 * - **openssl-primitives** (`packet-calls.ts`): OpenSSL's own ChaCha20 and Poly1305 routines in this process, without the
 *   EVP layer around them. The official Node builds from 20 to 26 export these symbols; they are not OpenSSL's public
 *   interface, so `create.ts` proves them with vectors before use and takes EVP where they are missing.
 *
 * Measured, 44 packets of 1420 bytes in a batch, on a processor of 2017 with AVX2 (Zen): fused 1.40 µs to seal as to open,
 * OpenSSL's 2.15 and 2.17 µs. On one with AVX-512 OpenSSL's take 0.56 and 0.58 µs, with four foreign calls per packet 0.73
 * and 0.81; EVP (whose provider looks its parameters up by name) 1.10 and 1.07 µs; node:crypto 5 µs.
 */
import type { AeadKey, Arena } from "../base/index.js";
import { type AeadBackend, checkKey, checkRange, destroyed, TAG_BYTES } from "./aead.js";
import type { CallRunner } from "./call-runner.js";
import type { FusedKernel } from "./fused/packets.js";
import { FusedOpens, FusedSeals } from "./fused/packets.js";
import { HEAD_BYTES, OpenCalls, SealCalls, TAIL_BYTES } from "./packet-calls.js";

/** Largest UDP datagram: no packet is longer. */
const MAX_PACKET_BYTES = 65_536;

/** Packets that wait to be sealed. Keys are eight words; one object per key. */
export interface Seals {
  seal(key: Uint32Array, offset: number, length: number, counter: number): void;
  run(): void;
  /** Carries out what waits, and removes what is left of keys. */
  wipe(): void;
}

/** Packets that wait to be opened. */
export interface Opens {
  /** The packet's number in the batch, or −1 when the batch is full. */
  open(key: Uint32Array, offset: number, length: number, counter: number): number;
  run(): void;
  /** As `CryptoSuite.opened`. */
  result(ticket: number): number;
  wipe(): void;
}

/** Bytes around a packet that are touched as well, the tag included. */
interface Margins {
  head: number;
  tail: number;
}

/**
 * Throws when the symbols are not there. The first 64 and the last 16 bytes of the arena are no place for packets
 * (RangeError).
 * @param runner null: one foreign call for each routine
 */
export function createPrimitivesAead(arena: Arena, runner: CallRunner | null): AeadBackend {
  const margins = { head: HEAD_BYTES, tail: TAIL_BYTES };
  const [seals, opens] = [new SealCalls(arena, runner), new OpenCalls(arena, runner)];
  return batchedAead("openssl-primitives", arena, seals, opens, margins);
}

export function createFusedAead(arena: Arena, kernel: FusedKernel): AeadBackend {
  const margins = { head: 0, tail: TAG_BYTES };
  return batchedAead("fused", arena, new FusedSeals(arena, kernel), new FusedOpens(arena, kernel), margins);
}

function batchedAead(name: string, arena: Arena, seals: Seals, opens: Opens, margins: Margins): AeadBackend {
  return {
    name,
    createKey: key => new BatchedKey(arena, seals, opens, margins, key),
    runSeals: () => seals.run(),
    runOpens: () => opens.run(),
    opened: ticket => opens.result(ticket),
  };
}

class BatchedKey implements AeadKey {
  private readonly arena: Arena;
  private readonly seals: Seals;
  private readonly opens: Opens;
  private readonly head: number;
  private readonly tail: number;
  private readonly key: Uint32Array = new Uint32Array(8);
  private alive = true;

  constructor(arena: Arena, seals: Seals, opens: Opens, { head, tail }: Margins, key: Uint8Array) {
    checkKey(key);
    this.arena = arena;
    this.seals = seals;
    this.opens = opens;
    this.head = head;
    this.tail = tail;
    new Uint8Array(this.key.buffer).set(key);
  }

  seal(offset: number, length: number, counter: number): void {
    if (!this.alive) destroyed();
    checkRange(this.arena, offset, length, this.head, this.tail);
    this.seals.seal(this.key, offset, length, counter);
  }

  open(offset: number, length: number, counter: number): number {
    if (!this.alive) destroyed();
    checkRange(this.arena, offset, length, this.head, this.tail);
    if (length > MAX_PACKET_BYTES)
      throw new RangeError(`length must be at most ${MAX_PACKET_BYTES}, got ${length}`);
    return this.opens.open(this.key, offset, length, counter);
  }

  /** What waits is carried out before. */
  destroy(): void {
    this.seals.wipe();
    this.opens.wipe();
    this.key.fill(0);
    this.alive = false;
  }
}
