/**
 * The first pieces of packets that are sealed from where their text lies (`base/pieces.ts`): headers, which the stack
 * built for the first of several packets alike, filled up with the first bytes of each one's text.
 *
 * ```
 *   run    │…│ headers │ text │ room for the rest, tag │…│ headers, next sequence number │ text │ …
 *          └ at                                          └ at + stride
 * ```
 */
import { type Arena, FIRST_PIECE_BYTES } from "../base/index.js";

/** TCP's sequence number, where the header has no options. */
const SEQUENCE_BEFORE_TEXT_BYTES = 16;

export class FirstPieces {
  private readonly arena: Arena;
  /** Of the one that was begun with, as they lie in memory. */
  private readonly headers: Int32Array = new Int32Array(FIRST_PIECE_BYTES / 4);
  private headerBytes = 0;
  private sequence = 0;

  constructor(arena: Arena) {
    this.arena = arena;
  }

  /**
   * Fills up the piece whose headers, some words and at most FIRST_PIECE_BYTES, are at `at`.
   * @returns how much of the text it took
   */
  begin(at: number, headerBytes: number, text: number): number {
    const { view } = this.arena;
    for (let i = 0; i < headerBytes; i += 4) this.headers[i >> 2] = view.getInt32(at + i, true);
    this.headerBytes = headerBytes;
    this.sequence = view.getInt32(at + headerBytes - SEQUENCE_BEFORE_TEXT_BYTES);
    this.fillUp(at, text);
    return FIRST_PIECE_BYTES - headerBytes;
  }

  /** Writes the `count` that follow it: at `at`, and each `stride` bytes on. The first one's text follows at `text`. */
  repeat(at: number, stride: number, count: number, text: number, textBytes: number): void {
    const { view } = this.arena;
    const { headers, headerBytes } = this;
    for (let packet = 0; packet < count; packet++) {
      const start = at + packet * stride;
      for (let i = 0; i < headerBytes; i += 4) view.setInt32(start + i, headers[i >> 2] as number, true);
      this.sequence = (this.sequence + textBytes) | 0;
      view.setInt32(start + headerBytes - SEQUENCE_BEFORE_TEXT_BYTES, this.sequence);
      this.fillUp(start, text + packet * textBytes);
    }
  }

  private fillUp(at: number, text: number): void {
    const { view } = this.arena;
    const { headerBytes } = this;
    for (let i = headerBytes; i < FIRST_PIECE_BYTES; i += 4)
      view.setInt32(at + i, view.getInt32(text + i - headerBytes, true), true);
  }
}
