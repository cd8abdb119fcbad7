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
    const word = Math.floor(counter / 32);
    if (counter > this.greatest) {
      const from = Math.floor(this.greatest / 32);
      const clear = Math.min(word - from, WORDS);
      for (let i = 1; i <= clear; i++) this.words[(from + i) & WORD_MASK] = 0;
      this.greatest = counter;
    } else if (this.greatest - counter > REPLAY_WINDOW) {
      return false;
    }
    const at = word & WORD_MASK;
    const bit = 1 << (counter & 31);
    const seen = this.words[at] as number;
    this.words[at] = seen | bit;
    return (seen & bit) === 0;
  }
}
