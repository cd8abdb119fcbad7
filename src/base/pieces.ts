/**
 * A packet in two pieces, the way it is sealed without being copied together before: its headers, filled up with the first
 * bytes of its text, and the rest of the text, where a stream's ring has it.
 */
import type { Arena } from "./arena.js";

/** Bytes of the first piece. */
export const FIRST_PIECE_BYTES = 64;

/** Puts the packet of `length` bytes whose first piece is at `offset` and whose other piece is at `rest` into one, at `offset`. */
export function joinPieces(arena: Arena, offset: number, length: number, rest: number): void {
  const restBytes = length - FIRST_PIECE_BYTES;
  if (restBytes <= 0 || rest === offset + FIRST_PIECE_BYTES) return;
  arena.u8.copyWithin(offset + FIRST_PIECE_BYTES, rest, rest + restBytes);
}
