/**
 * Initial sequence numbers (RFC 6528) and timestamp offsets (RFC 7323 §5.4): a keyed hash of the connection's
 * addresses, so that nobody outside can guess them and a new incarnation's numbers lie ahead of the old one's.
 *
 * The hash is HalfSipHash-2-4, SipHash's 32-bit sibling: a PRF of four operations on 32-bit words.
 */
import type { Milliseconds, Random } from "../../base/index.js";
import type { FlowKey } from "../flow-key.js";
import type { Seq } from "./seq.js";

/** RFC 6528 §3: the clock M ticks every 4 µs. */
const TICKS_PER_MS = 250;

export class SequenceSecret {
  private readonly isnKey: readonly [number, number];
  private readonly timestampKey: readonly [number, number];

  constructor(random: Random) {
    this.isnKey = [random.uint32() | 0, random.uint32() | 0];
    this.timestampKey = [random.uint32() | 0, random.uint32() | 0];
  }

  initialSequence(key: FlowKey, now: Milliseconds): Seq {
    return (hashKey(this.isnKey, key) + Math.floor(now * TICKS_PER_MS)) | 0;
  }

  timestampOffset(key: FlowKey): number {
    return hashKey(this.timestampKey, key);
  }
}

function hashKey(secret: readonly [number, number], key: FlowKey): number {
  const state = new HalfSipHash(secret[0], secret[1]);
  state.absorb(key.linkId);
  state.absorb(key.ports);
  state.absorb(key.local0);
  state.absorb(key.local1);
  state.absorb(key.local2);
  state.absorb(key.local3);
  state.absorb(key.remote0);
  state.absorb(key.remote1);
  state.absorb(key.remote2);
  state.absorb(key.remote3);
  return state.finish(40);
}

/** HalfSipHash-2-4 with 32 bits of output, over whole little-endian words. */
export class HalfSipHash {
  private v0: number;
  private v1: number;
  private v2: number;
  private v3: number;

  constructor(key0: number, key1: number) {
    this.v0 = key0;
    this.v1 = key1;
    this.v2 = key0 ^ 0x6c796765;
    this.v3 = key1 ^ 0x74656462;
  }

  absorb(word: number): void {
    this.v3 ^= word;
    this.round();
    this.round();
    this.v0 ^= word;
  }

  /** @param bytes how many were absorbed: a multiple of four */
  finish(bytes: number): number {
    this.absorb(bytes << 24);
    this.v2 ^= 0xff;
    for (let i = 0; i < 4; i++) this.round();
    return this.v1 ^ this.v3;
  }

  private round(): void {
    let { v0, v1, v2, v3 } = this;
    v0 = (v0 + v1) | 0;
    v1 = rotate(v1, 5) ^ v0;
    v0 = rotate(v0, 16);
    v2 = (v2 + v3) | 0;
    v3 = rotate(v3, 8) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = rotate(v3, 7) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = rotate(v1, 13) ^ v2;
    v2 = rotate(v2, 16);
    this.v0 = v0;
    this.v1 = v1;
    this.v2 = v2;
    this.v3 = v3;
  }
}

function rotate(word: number, bits: number): number {
  return (word << bits) | (word >>> (32 - bits));
}
