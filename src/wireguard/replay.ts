/**
 * Which counters were seen: a sliding window as a ring of words that is cleared word by word as it advances,
 * never shifted (RFC 6479). To be asked only after the packet was authenticated.
 *
 * ```
 *   words   │…│  │  │▒▒│▒▒│▒▒│▒▒│  │…        256 words of 32 bits, ring
 *                    └ last − 8128   └ last: the word that holds the greatest counter
 * ```
 */
import { REPLAY_WINDOW } from "./constants.js";

const WORDS = 256;
const WORD_MASK = WORDS - 1;

export class ReplayWindow {
  private readonly words: Int32Array = new Int32Array(WORDS);
  /** Counter. */
  greatest = 0;

  /** Whether `counter` is new and recent enough; it is marked as seen then. */
  accept(counter: number): boolean {
    if (counter > this.greatest) this.advance(counter);
    else if (this.greatest - counter > REPLAY_WINDOW) return false;
    const at = Math.floor(counter / 32) & WORD_MASK;
    const bit = 1 << (counter & 31);
    const seen = this.words[at] as number;
    this.words[at] = seen | bit;
    return (seen & bit) === 0;
  }

  /** The `count` counters after the greatest were seen, which they cannot have been before. */
  acceptNext(count: number): void {
    let counter = this.greatest + 1;
    this.advance(this.greatest + count);
    while (counter <= this.greatest) {
      const at = Math.floor(counter / 32) & WORD_MASK;
      const bit = counter & 31;
      const bits = Math.min(32 - bit, this.greatest - counter + 1);
      this.words[at] = (this.words[at] as number) | ((-1 >>> (32 - bits)) << bit);
      counter += bits;
    }
  }

  private advance(greatest: number): void {
    const from = Math.floor(this.greatest / 32);
    const clear = Math.min(Math.floor(greatest / 32) - from, WORDS);
    for (let i = 1; i <= clear; i++) this.words[(from + i) & WORD_MASK] = 0;
    this.greatest = greatest;
  }
}
