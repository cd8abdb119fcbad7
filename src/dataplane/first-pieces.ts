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
  /** Where the headers of the one that was begun with are kept. */
  private readonly headers: number;
  private headerBytes = 0;
  private sequence = 0;

  constructor(arena: Arena) {
    this.arena = arena;
    this.headers = arena.reserve(FIRST_PIECE_BYTES);
  }

  /**
   * Fills up the piece whose headers, at most FIRST_PIECE_BYTES of them, are at `at`.
   * @returns how much of the text it took
   */
  begin(at: number, headerBytes: number, text: number): number {
    const { arena } = this;
    const textBytes = FIRST_PIECE_BYTES - headerBytes;
    this.headerBytes = headerBytes;
    this.sequence = arena.view.getInt32(at + headerBytes - SEQUENCE_BEFORE_TEXT_BYTES);
    arena.u8.copyWithin(this.headers, at, at + headerBytes);
    arena.u8.copyWithin(at + headerBytes, text, text + textBytes);
    return textBytes;
  }

  /** Writes the `count` that follow it: at `at`, and each `stride` bytes on. The first one's text follows at `text`. */
  repeat(at: number, stride: number, count: number, text: number, textBytes: number): void {
    const { arena, headerBytes } = this;
    const { view } = arena;
    const end = at + headerBytes;
    arena.strided.copy(at, stride, this.headers, 0, headerBytes, count);
    arena.strided.copy(end, stride, text, textBytes, FIRST_PIECE_BYTES - headerBytes, count);
    for (let packet = 0; packet < count; packet++) {
      this.sequence = (this.sequence + textBytes) | 0;
      view.setInt32(end + packet * stride - SEQUENCE_BEFORE_TEXT_BYTES, this.sequence);
    }
  }
}
