/**
 * A few small text files as one archive: POSIX ustar (IEEE Std 1003.1, pax, "ustar Interchange Format"), for what
 * `tar xzf` of any system reads. Refuses what needs more than a plain header: names over 100 bytes. Pure.
 */
export interface TarFile {
  name: string;
  content: string;
}

const BLOCK_BYTES = 512;
const NAME_BYTES_MAX = 100;

/** @param seconds since the epoch, as each file's time */
export function makeTar(files: readonly TarFile[], seconds: number): Buffer {
  const blocks = files.flatMap(({ name, content }) => {
    const bytes = Buffer.from(content);
    return [header(name, bytes.length, seconds), bytes, Buffer.alloc(-bytes.length & (BLOCK_BYTES - 1))];
  });
  return Buffer.concat([...blocks, Buffer.alloc(2 * BLOCK_BYTES)]);
}

function header(name: string, size: number, seconds: number): Buffer {
  if (Buffer.byteLength(name) > NAME_BYTES_MAX) throw new RangeError(`name: too long: ${name}`);
  const block = Buffer.alloc(BLOCK_BYTES);
  const octal = (value: number, at: number, digits: number): number =>
    block.write(value.toString(8).padStart(digits, "0"), at, "latin1");
  block.write(name, 0);
  octal(0o600, 100, 7);
  octal(0, 108, 7);
  octal(0, 116, 7);
  octal(size, 124, 11);
  octal(seconds, 136, 11);
  block.write("0", 156);
  block.write("ustar\x0000", 257, "latin1");
  // The sum is made with spaces in its own place.
  block.write(" ".repeat(8), 148);
  const sum = block.reduce((total, byte) => total + byte, 0);
  octal(sum, 148, 6);
  block.writeUInt8(0, 154);
  return block;
}
