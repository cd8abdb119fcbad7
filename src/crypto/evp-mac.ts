/**
 * Keyed BLAKE2s (RFC 7693 §2.9) by OpenSSL's EVP_MAC in this process: what a flood of handshake messages costs is
 * mostly its mac1, and node:crypto does not offer the keyed mode.
 *
 * Measured, Node 20, 116 bytes: 0.7 µs, where @noble/hashes takes 7.8.
 */
import koffi from "koffi";
import type { Arena } from "../base/index.js";

const address = "intptr_t";
const MAX_BYTES = 32;
/** Key, result and the parameter list, then the message. */
const KEY_AT = 0;
const OUT_AT = 32;
const OUT_LENGTH_AT = 64;
const SIZE_AT = 72;
const NAME_AT = 80;
const PARAM_AT = 88;
const MESSAGE_AT = 192;
const MESSAGE_BYTES = 512;
/** OSSL_PARAM: key, data_type, data, data_size, return_size; the list ends with an all-zero one. */
const PARAM_UNSIGNED_INTEGER = 2;

/** Null when a message is longer than handshake messages are. */
export type KeyedHash = (key: Uint8Array, parts: readonly Uint8Array[], bytes: number) => Uint8Array | null;

/** Throws when this process's OpenSSL has no such MAC. */
export function createEvpMac(arena: Arena): KeyedHash {
  const mac = new EvpMac(arena);
  return (key, parts, bytes) => mac.compute(key, parts, bytes);
}

class EvpMac {
  private readonly arena: Arena;
  private readonly scratch: number;
  private readonly base: number;
  private readonly mac: number;
  /** EVP_MAC_CTX * by length of the result, which a context keeps. */
  private readonly contexts: number[] = [];
  private readonly newContext: (mac: number) => number;
  private readonly setParams: (context: number, params: number) => number;
  private readonly init: (context: number, key: number, bytes: number, params: number) => number;
  private readonly update: (context: number, data: number, bytes: number) => number;
  private readonly final: (context: number, out: number, outLength: number, outSize: number) => number;

  constructor(arena: Arena) {
    const process = koffi.load(null);
    this.newContext = process.func("EVP_MAC_CTX_new", address, [address]);
    this.setParams = process.func("EVP_MAC_CTX_set_params", "int", [address, address]);
    this.init = process.func("EVP_MAC_init", "int", [address, address, "size_t", address]);
    this.update = process.func("EVP_MAC_update", "int", [address, address, "size_t"]);
    this.final = process.func("EVP_MAC_final", "int", [address, address, address, "size_t"]);
    this.mac = process.func("EVP_MAC_fetch", address, [address, "str", address])(0, "BLAKE2SMAC", 0);
    if (this.mac === 0) throw new Error("OpenSSL has no BLAKE2SMAC");
    this.arena = arena;
    this.scratch = arena.reserve(MESSAGE_AT + MESSAGE_BYTES);
    this.base = Number(koffi.address(arena.u8)) + this.scratch;
    const at = this.scratch + PARAM_AT;
    arena.u8.set([0x73, 0x69, 0x7a, 0x65, 0], this.scratch + NAME_AT); // "size"
    arena.view.setBigUint64(at, BigInt(this.base + NAME_AT), true);
    arena.view.setUint32(at + 8, PARAM_UNSIGNED_INTEGER, true);
    arena.view.setBigUint64(at + 16, BigInt(this.base + SIZE_AT), true);
    arena.view.setBigUint64(at + 24, 8n, true);
  }

  compute(key: Uint8Array, parts: readonly Uint8Array[], bytes: number): Uint8Array | null {
    const { arena, scratch, base } = this;
    if (key.length > MAX_BYTES || bytes > MAX_BYTES) throw new RangeError("BLAKE2s takes and gives 32 bytes");
    let end = MESSAGE_AT;
    for (const part of parts) {
      if (end + part.length > MESSAGE_AT + MESSAGE_BYTES) return null;
      arena.u8.set(part, scratch + end);
      end += part.length;
    }
    arena.u8.set(key, scratch + KEY_AT);
    const context = this.contexts[bytes] ?? this.open(bytes);
    const done =
      this.init(context, base + KEY_AT, key.length, 0) === 1 &&
      this.update(context, base + MESSAGE_AT, end - MESSAGE_AT) === 1 &&
      this.final(context, base + OUT_AT, base + OUT_LENGTH_AT, bytes) === 1;
    arena.u8.fill(0, scratch + KEY_AT, scratch + KEY_AT + MAX_BYTES);
    if (!done) throw new Error("OpenSSL failed to compute BLAKE2s");
    return arena.u8.slice(scratch + OUT_AT, scratch + OUT_AT + bytes);
  }

  private open(bytes: number): number {
    const context = this.newContext(this.mac);
    this.arena.view.setBigUint64(this.scratch + SIZE_AT, BigInt(bytes), true);
    if (context === 0 || this.setParams(context, this.base + PARAM_AT) !== 1) {
      throw new Error("EVP_MAC_CTX_new failed");
    }
    this.contexts[bytes] = context;
    return context;
  }
}
