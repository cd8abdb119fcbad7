/** A seeded generator for tests (xorshift128): the same seed gives the same run. */
import type { Random } from "../../../src/base/index.js";

export class Prng implements Random {
  private x = 123456789;
  private y = 362436069;
  private z = 521288629;
  private w: number;

  constructor(seed: number) {
    this.w = (seed ^ 88675123) | 0;
    for (let i = 0; i < 16; i++) this.uint32();
  }

  /** For runs with neighbouring numbers, which the generator alone would start much alike. */
  static numbered(run: number): Prng {
    const mixed = Math.imul(run ^ (run >>> 15), 0x9e3779b1);
    return new Prng(Math.imul(mixed ^ (mixed >>> 13), 0x85ebca6b));
  }

  uint32(): number {
    const t = this.x ^ (this.x << 11);
    this.x = this.y;
    this.y = this.z;
    this.z = this.w;
    this.w = this.w ^ (this.w >>> 19) ^ t ^ (t >>> 8);
    return this.w >>> 0;
  }

  fill(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.uint32();
  }

  /** In [0, 1). */
  real(): number {
    return this.uint32() / 2 ** 32;
  }

  /** An integer in [low, high]. */
  between(low: number, high: number): number {
    return low + Math.floor(this.real() * (high - low + 1));
  }

  chance(probability: number): boolean {
    return this.real() < probability;
  }
}
