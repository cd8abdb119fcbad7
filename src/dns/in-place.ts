/** Whole-file reads and in-place writes through a descriptor, at explicit positions. */
import { fsyncSync, ftruncateSync, readSync, writeSync } from "node:fs";

export function readAll(fd: number): Buffer {
  const chunks: Buffer[] = [];
  for (let position = 0; ; ) {
    const chunk = Buffer.allocUnsafe(65_536);
    const count = readSync(fd, chunk, 0, chunk.length, position);
    if (count === 0) return Buffer.concat(chunks);
    chunks.push(chunk.subarray(0, count));
    position += count;
  }
}

/** Makes `old` into `next`, not yet on disk (fsync). When that fails (a full disk) the file is `old` again. */
export function overwrite(fd: number, old: Buffer, next: Buffer): void {
  const from = commonPrefix(old, next);
  try {
    writeFrom(fd, next, from);
    ftruncateSync(fd, next.length);
  } catch (error) {
    // The blocks of the old content are still the file's own: this needs no space.
    writeFrom(fd, old, from);
    ftruncateSync(fd, old.length);
    fsyncSync(fd);
    throw error;
  }
}

export function writeFrom(fd: number, content: Buffer, from: number): void {
  for (let at = from; at < content.length; ) at += writeSync(fd, content, at, content.length - at, at);
}

function commonPrefix(a: Buffer, b: Buffer): number {
  const limit = Math.min(a.length, b.length);
  let length = 0;
  while (length < limit && a[length] === b[length]) length++;
  return length;
}
