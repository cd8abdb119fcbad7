/** What the fused kernel asks of ChaCha20: strides of eight blocks (RFC 8439 §2.3), made by some kind of vector. */
import type { Instruction, Program } from "../../machine/index.js";

/** All instructions use vector registers alone, but for those of the text. */
export interface Cipher {
  /** How many blocks the authenticator takes in meanwhile, in one double round. */
  readonly wovenBlocks: number;
  /** Once, before the first packet. */
  enter(): Instruction[];
  /** The state of a stride, before its rounds: the first one of the packet at LIST, and the one that follows. */
  begin(): Instruction[];
  next(): Instruction[];
  load(): Instruction[];
  /** A column and a diagonal round. */
  doubleRound(): Instruction[];
  /** The state from before the rounds is added, and the first 32 bytes of the result go to the workspace. */
  finish(): Instruction[];
  /**
   * XORs text at RSI, of which RCX bytes are left, to RDI, as far as the stride goes; RSI and RDI move on, RCX becomes less and
   * WAITING more. Uses RAX and RBX.
   * @param first of the packet: from block 1 on, and after a first piece goes on at the packet's `rest`
   */
  writeXor(program: Program, first: boolean): void;
  /** Leaves nothing in the registers. */
  leave(): Instruction[];
}
