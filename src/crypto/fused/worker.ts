/** The packets of a batch as the fused kernel's list, and its workspace, in the arena. */
import koffi from "koffi";
import type { Arena } from "../../base/index.js";
import { addCode, type NativeFunction, type Vectors } from "../../machine/index.js";
import { SLOTS, TAG_BYTES } from "../aead.js";
import { TAG_SPACE_BYTES, type Worker } from "../batch.js";
import { fusedCode } from "./kernel.js";
import { STATE_LAYOUTS, type StateLayout } from "./state.js";
import { BIAS, PACKET, PACKET_BYTES, WORKSPACE } from "./workspace.js";

/** RFC 8439 §2.5. */
const CLAMP = [0x0fffffff, 0x0ffffffc, 0x0ffffffc, 0x0ffffffc];

const kernels = new Map<Vectors, NativeFunction<void>>();

/** (workspace + BIAS, list, entries): two addresses, and at least one entry. Throws where no code may be added. */
function loadKernel(vectors: Vectors): NativeFunction<void> {
  const kernel = kernels.get(vectors) ?? addCode(fusedCode(vectors), 3, "void");
  kernels.set(vectors, kernel);
  return kernel;
}

export class FusedWorker implements Worker {
  readonly head: number = 0;
  /** The tag. Until it is written, up to 15 bytes of it are overwritten with others. */
  readonly tail: number = TAG_BYTES;
  private readonly arena: Arena;
  private readonly state: StateLayout;
  private readonly kernel: NativeFunction<void>;
  private readonly base: number;
  private readonly workspace: number;
  private readonly list: number;
  private readonly tags: number | null;
  private entries = 0;

  /**
   * Throws where no code may be added to the process. The processor must be one that `lookAtProcessor` calls fit.
   * @param tags where opening puts tags; null to seal, where they go behind the packets
   */
  constructor(arena: Arena, vectors: Vectors, tags: number | null) {
    this.arena = arena;
    this.state = STATE_LAYOUTS[vectors];
    this.kernel = loadKernel(vectors);
    this.base = Number(koffi.address(arena.u8));
    this.workspace = arena.reserve(WORKSPACE.bytes);
    this.list = arena.reserve(SLOTS * PACKET_BYTES);
    this.tags = tags;
    this.prepare();
  }

  private prepare(): void {
    const { arena, workspace } = this;
    this.state.prepare(arena, workspace);
    arena.u32.set(CLAMP, (workspace + WORKSPACE.clamp) >> 2);
    arena.view.setBigUint64(workspace + WORKSPACE.arena, BigInt(this.base), true);
  }

  load(key: Uint32Array): void {
    this.state.loadKey(this.arena, this.workspace, key);
  }

  add(
    slot: number,
    count: number,
    offset: number,
    stride: number,
    target: number,
    targetStride: number,
    length: number,
    counter: number,
    rest: number,
    restStride: number,
  ): void {
    const { tags } = this;
    const { u32 } = this.arena;
    const first = (this.list + PACKET_BYTES * this.entries++) >> 2;
    u32[first + PACKET.counterLow] = counter;
    u32[first + PACKET.counterHigh] = counter / 0x1_0000_0000;
    u32[first + PACKET.source] = offset;
    u32[first + PACKET.target] = target;
    u32[first + PACKET.tag] = tags === null ? offset + length : tags + TAG_SPACE_BYTES * slot;
    u32[first + PACKET.rest] = rest;
    u32[first + PACKET.length] = length;
    u32[first + PACKET.count] = count;
    u32[first + PACKET.stride] = stride;
    u32[first + PACKET.targetStride] = targetStride;
    u32[first + PACKET.tagStride] = tags === null ? stride : TAG_SPACE_BYTES;
    u32[first + PACKET.restStride] = restStride;
  }

  run(): boolean {
    const { arena, base, workspace, list, entries } = this;
    if (entries === 0) return true;
    const differences = (workspace + WORKSPACE.differences) >> 2;
    arena.u32[differences] = 0;
    arena.u32[differences + 1] = 0;
    this.kernel(base + workspace + BIAS, base + list, entries);
    this.entries = 0;
    return arena.u32[differences] === 0 && arena.u32[differences + 1] === 0;
  }

  forget(): void {
    const { arena, workspace } = this;
    arena.u8.fill(0, workspace, workspace + WORKSPACE.bytes);
    this.prepare();
  }
}
