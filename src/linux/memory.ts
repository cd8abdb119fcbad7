/**
 * Memory for an arena, below 2^31 where the machine has that. V8 keeps such an address in a register or a field as
 * it is; a larger one is boxed, sixteen bytes of garbage for each argument of a foreign call, and read back slowly.
 */
import koffi from "koffi";
import { Arena } from "../base/index.js";
import { addressOf, libc } from "./ffi.js";

const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const MAP_NORESERVE = 0x4000;
/** x86-64 alone has it; elsewhere this bit is without effect, or refused. */
const MAP_32BIT = 0x40;
const LIMIT = 0x8000_0000;
const MADV_DONTNEED = 4;
/** The largest page size that Linux is built with. */
const PAGE_BYTES = 65_536;

/**
 * An arena that lives as long as the process; pages cost memory once they are touched.
 * @param sizeBytes a multiple of 8
 */
export function createArena(sizeBytes: number): Arena {
  const flags = MAP_PRIVATE_ANONYMOUS | MAP_NORESERVE | (process.arch === "x64" ? MAP_32BIT : 0);
  const address = libc.mmap(0, sizeBytes, PROT_READ_WRITE, flags, -1, 0);
  if (address > 0 && address + sizeBytes <= LIMIT) return new Arena(koffi.view(address, sizeBytes));
  if (address > 0) libc.munmap(address, sizeBytes);
  return new Arena(sizeBytes);
}

/** Gives the memory behind arena bytes [offset, offset + length) back, as far as they are whole pages: they become zeros. */
export function discardPages(arena: Arena, offset: number, length: number): void {
  const address = addressOf(arena, offset, length);
  const from = Math.ceil(address / PAGE_BYTES) * PAGE_BYTES;
  const bytes = Math.floor((address + length) / PAGE_BYTES) * PAGE_BYTES - from;
  if (bytes > 0) libc.madvise(from, bytes, MADV_DONTNEED);
}
