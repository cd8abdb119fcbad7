/** The first pieces of packets alike (`dataplane/first-pieces.ts`), byte by byte. */
import { randomBytes, randomInt } from "node:crypto";
import t from "tap";
import { Arena, FIRST_PIECE_BYTES } from "../../src/base/index.js";
import { FirstPieces } from "../../src/dataplane/first-pieces.js";
import { useNativeStrided } from "../../src/machine/index.js";

const SEQUENCE_BEFORE_TEXT = 16;

t.test(
  "each has the first one's headers, the next sequence number and the start of its own text",
  async t => {
    const arena = new Arena(1 << 20);
    const [run, ring] = [arena.reserve(1 << 17), arena.reserve(1 << 17)];
    const pieces = new FirstPieces(arena);
    const plain = arena.strided;
    useNativeStrided(arena);
    const native = arena.strided;
    for (let round = 0; round < 300; round++) {
      arena.strided = round & 1 ? native : plain;
      const headerBytes = [40, 60, 64][round % 3] as number;
      const textBytes = 1024 + randomInt(400);
      const [count, stride] = [1 + randomInt(44), headerBytes + textBytes + 32 + randomInt(9)];
      const [at, text] = [run + randomInt(9), ring + randomInt(9)];
      const [headers, stream] = [randomBytes(headerBytes), randomBytes(count * textBytes)];
      // It comes round.
      const sequence = (0xffff_ffff - randomInt(3 * textBytes)) >>> 0;
      headers.writeUInt32BE(sequence, headerBytes - SEQUENCE_BEFORE_TEXT);
      const expected = randomBytes(count * stride);
      arena.u8.set(expected, at);
      arena.u8.set(headers, at);
      arena.u8.set(stream, text);
      for (let i = 0; i < count; i++) {
        headers.writeUInt32BE((sequence + i * textBytes) >>> 0, headerBytes - SEQUENCE_BEFORE_TEXT);
        const piece = Buffer.concat([headers, stream.subarray(i * textBytes)]).subarray(0, FIRST_PIECE_BYTES);
        expected.set(piece, i * stride);
      }
      const taken = pieces.begin(at, headerBytes, text);
      t.equal(taken, FIRST_PIECE_BYTES - headerBytes);
      pieces.repeat(at + stride, stride, count - 1, text + textBytes, textBytes);
      t.ok(expected.equals(arena.u8.subarray(at, at + expected.length)), `round ${round}`);
    }
  },
);
