/**
 * The packet AEAD (RFC 8439 §2.8 with empty associated data) over batches: packets are collected, and a batch is one
 * foreign call. There are two kinds, and `create.ts` takes the first that works on the machine at hand:
 *
 * - **fused** (`fused/`): machine code of our own, cipher and authenticator at once. x86-64 with AVX2 or AVX-512.
 * - **openssl-primitives** (`packet-calls.ts`): OpenSSL's own ChaCha20 and Poly1305 routines in this process, without the
 *   EVP layer around them. The official Node builds from 20 to 26 export these symbols; they are not OpenSSL's public
 *   interface, so `create.ts` proves them with vectors before use and takes EVP where they are missing.
 *
 * Measured, 44 packets of 1420 bytes in a batch, on a processor of 2017 with AVX2 (Zen): fused 1.28 and 1.31 µs to seal and
 * to open, OpenSSL's 2.15 and 2.17 µs. On one of 2023 with AVX-512: fused 0.53 µs both, OpenSSL's 0.70 and 0.67; as long as the
 * latter take, times 2.6, with a foreign call for each routine, and times 2.7 to 3.2 by EVP, whose provider looks its
 * parameters up by name.
 */
import type { Arena } from "../base/index.js";
import type { Vectors } from "../machine/index.js";
import { type AeadBackend, checkKey, SLOTS } from "./aead.js";
import { Opens, Seals, TAG_SPACE_BYTES, type Worker } from "./batch.js";
import type { CallRunner } from "./call-runner.js";
import { FusedWorker } from "./fused/worker.js";
import { PacketCalls } from "./packet-calls.js";
import { PacketKey } from "./packet-key.js";

/** Largest UDP datagram: no packet is longer. */
const MAX_PACKET_BYTES = 65_536;

/**
 * Throws when the symbols are not there. The first 64 and the last 16 bytes of the arena are no place for packets
 * (RangeError).
 * @param runner null: one foreign call for each routine
 */
export function createPrimitivesAead(arena: Arena, runner: CallRunner | null): AeadBackend {
  return batchedAead("openssl-primitives", arena, tags => new PacketCalls(arena, runner, tags));
}

/** Throws where no code may be added to the process. The processor must be one that `lookAtProcessor` calls fit. */
export function createFusedAead(arena: Arena, vectors: Vectors): AeadBackend {
  return batchedAead(`fused-${vectors}`, arena, tags => new FusedWorker(arena, vectors, tags));
}

/** @param create a worker that opens, with tags where it is told, or, with null, seals */
function batchedAead(name: string, arena: Arena, create: (tags: number | null) => Worker): AeadBackend {
  const tags = arena.reserve(SLOTS * TAG_SPACE_BYTES);
  const sealing = create(null);
  const [seals, opens] = [new Seals(sealing), new Opens(arena, create(tags), tags)];
  return {
    name,
    createKey: key => new BatchedKey(arena, seals, opens, sealing, key),
    runSeals: () => seals.run(),
    runOpens: () => opens.run(),
    opened: ticket => opens.result(ticket),
    countOpened: (ticket, most) => opens.countRight(ticket, most),
  };
}

class BatchedKey extends PacketKey {
  private readonly seals: Seals;
  private readonly opens: Opens;
  private readonly key: Uint32Array = new Uint32Array(8);

  constructor(
    arena: Arena,
    seals: Seals,
    opens: Opens,
    margins: Pick<Worker, "head" | "tail">,
    key: Uint8Array,
  ) {
    checkKey(key);
    super(arena, margins.head, margins.tail);
    this.seals = seals;
    this.opens = opens;
    new Uint8Array(this.key.buffer).set(key);
  }

  protected sealChecked(
    count: number,
    offset: number,
    stride: number,
    length: number,
    counter: number,
    rest: number,
    restStride: number,
  ): void {
    this.seals.seal(this.key, count, offset, stride, length, counter, rest, restStride);
  }

  protected openChecked(
    count: number,
    offset: number,
    stride: number,
    length: number,
    counter: number,
  ): number {
    if (length > MAX_PACKET_BYTES)
      throw new RangeError(`length must be at most ${MAX_PACKET_BYTES}, got ${length}`);
    return this.opens.open(this.key, count, offset, stride, length, counter);
  }

  /** What waits is carried out before. */
  protected wipe(): void {
    this.seals.wipe();
    this.opens.wipe();
    this.key.fill(0);
  }
}
