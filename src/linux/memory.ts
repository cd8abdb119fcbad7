/** Memory that the arena holds but nobody uses goes back to the kernel. */
import type { Arena } from "../base/index.js";
import { addressOf, libc, settle } from "./ffi.js";

const MADV_DONTNEED = 4;
/** The largest page of the architectures that Node runs on; a multiple of the others. */
const PAGE_BYTES: number = process.arch === "arm64" ? 65_536 : 4096;

/**
 * Gives back the whole pages within [offset, offset + length); they read as zero afterwards. Returns how
 * many bytes that was.
 */
export function adviseDontNeed(arena: Arena, offset: number, length: number): number {
  const start = addressOf(arena, offset, length);
  const first = Math.ceil(start / PAGE_BYTES) * PAGE_BYTES;
  const end = Math.floor((start + length) / PAGE_BYTES) * PAGE_BYTES;
  if (end <= first) return 0;
  return settle(libc.madvise(first, end - first, MADV_DONTNEED)) === 0 ? end - first : 0;
}
