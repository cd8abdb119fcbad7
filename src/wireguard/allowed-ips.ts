/**
 * Cryptokey routing (paper §2): which peer owns an inner address, by longest prefix.
 *
 * A path-compressed binary trie per family, over four words (IPv4 in its mapped form, as base/address holds
 * it). Lookups read the address straight from the packet and allocate nothing.
 */
import type { Address, Arena, Prefix } from "../base/index.js";

const V4_MAPPED = 0xffff;

class Node<T> {
  readonly w0: number;
  readonly w1: number;
  readonly w2: number;
  readonly w3: number;
  /** Prefix length; 96 more than written for IPv4. */
  readonly bits: number;
  private readonly m0: number;
  private readonly m1: number;
  private readonly m2: number;
  private readonly m3: number;
  left: Node<T> | null = null;
  right: Node<T> | null = null;
  owner: T | null;

  constructor(w0: number, w1: number, w2: number, w3: number, bits: number, owner: T | null) {
    this.m0 = maskWord(bits);
    this.m1 = maskWord(bits - 32);
    this.m2 = maskWord(bits - 64);
    this.m3 = maskWord(bits - 96);
    this.w0 = w0 & this.m0;
    this.w1 = w1 & this.m1;
    this.w2 = w2 & this.m2;
    this.w3 = w3 & this.m3;
    this.bits = bits;
    this.owner = owner;
  }

  covers(w0: number, w1: number, w2: number, w3: number): boolean {
    return (
      ((w3 ^ this.w3) & this.m3) === 0 &&
      ((w2 ^ this.w2) & this.m2) === 0 &&
      ((w1 ^ this.w1) & this.m1) === 0 &&
      ((w0 ^ this.w0) & this.m0) === 0
    );
  }
}

export class AllowedIps<T> {
  private readonly arena: Arena;
  private v4: Node<T> | null = null;
  private v6: Node<T> | null = null;

  constructor(arena: Arena) {
    this.arena = arena;
  }

  /** Owner of the 4 bytes at `offset`. */
  lookup4(offset: number): T | null {
    return find(this.v4, 0, 0, V4_MAPPED, this.arena.view.getInt32(offset));
  }

  /** Owner of the 16 bytes at `offset`. */
  lookup6(offset: number): T | null {
    const { view } = this.arena;
    return find(
      this.v6,
      view.getInt32(offset),
      view.getInt32(offset + 4),
      view.getInt32(offset + 8),
      view.getInt32(offset + 12),
    );
  }

  lookup(address: Address): T | null {
    const root = address.family === 4 ? this.v4 : this.v6;
    return find(root, address.w0, address.w1, address.w2, address.w3);
  }

  /** Gives `prefix` to `owner`; returns whose exactly this prefix was before. */
  insert(prefix: Prefix, owner: T): T | null {
    const { address } = prefix;
    const bits = address.family === 4 ? prefix.bits + 96 : prefix.bits;
    const node = new Node<T>(address.w0, address.w1, address.w2, address.w3, bits, owner);
    const root = address.family === 4 ? this.v4 : this.v6;
    const before = exact(root, node)?.owner ?? null;
    const grown = merge(root, node);
    if (address.family === 4) this.v4 = grown;
    else this.v6 = grown;
    return before;
  }

  /** Takes exactly `prefix` away; no effect when nobody has it. */
  remove(prefix: Prefix): void {
    const { address } = prefix;
    const bits = address.family === 4 ? prefix.bits + 96 : prefix.bits;
    const node = new Node<T>(address.w0, address.w1, address.w2, address.w3, bits, null);
    if (address.family === 4) this.v4 = prune(this.v4, node);
    else this.v6 = prune(this.v6, node);
  }
}

function find<T>(root: Node<T> | null, w0: number, w1: number, w2: number, w3: number): T | null {
  let found: T | null = null;
  for (let node = root; node?.covers(w0, w1, w2, w3); ) {
    if (node.owner !== null) found = node.owner;
    node = bitAt(node.bits, w0, w1, w2, w3) === 0 ? node.left : node.right;
  }
  return found;
}

function exact<T>(root: Node<T> | null, wanted: Node<T>): Node<T> | null {
  let node = root;
  while (node !== null && node.bits < wanted.bits) node = childTowards(node, wanted);
  return node !== null && node.bits === wanted.bits && contains(node, wanted) ? node : null;
}

/** The tree with `added` in it. */
function merge<T>(node: Node<T> | null, added: Node<T>): Node<T> {
  if (node === null) return added;
  const common = commonBits(node, added);
  if (common === node.bits && common === added.bits) {
    node.owner = added.owner;
    return node;
  }
  if (common === node.bits) {
    setChild(node, added, merge(childTowards(node, added), added));
    return node;
  }
  if (common === added.bits) {
    setChild(added, node, node);
    return added;
  }
  const fork = new Node<T>(added.w0, added.w1, added.w2, added.w3, common, null);
  setChild(fork, node, node);
  setChild(fork, added, added);
  return fork;
}

/** The tree without `removed`, and without forks that lead nowhere. */
function prune<T>(node: Node<T> | null, removed: Node<T>): Node<T> | null {
  if (node === null || !contains(node, removed)) return node;
  if (node.bits === removed.bits) node.owner = null;
  else setChild(node, removed, prune(childTowards(node, removed), removed));
  if (node.owner !== null || (node.left !== null && node.right !== null)) return node;
  return node.left ?? node.right;
}

function contains<T>(outer: Node<T>, inner: Node<T>): boolean {
  return outer.bits <= inner.bits && outer.covers(inner.w0, inner.w1, inner.w2, inner.w3);
}

function childTowards<T>(node: Node<T>, target: Node<T>): Node<T> | null {
  return bitAt(node.bits, target.w0, target.w1, target.w2, target.w3) === 0 ? node.left : node.right;
}

function setChild<T>(node: Node<T>, towards: Node<T>, child: Node<T> | null): void {
  if (bitAt(node.bits, towards.w0, towards.w1, towards.w2, towards.w3) === 0) node.left = child;
  else node.right = child;
}

function commonBits<T>(a: Node<T>, b: Node<T>): number {
  let common = Math.clz32(a.w0 ^ b.w0);
  if (common === 32) common += Math.clz32(a.w1 ^ b.w1);
  if (common === 64) common += Math.clz32(a.w2 ^ b.w2);
  if (common === 96) common += Math.clz32(a.w3 ^ b.w3);
  return Math.min(common, a.bits, b.bits);
}

/** Bit number `at` counted from the most significant one; 0 past the end. */
function bitAt(at: number, w0: number, w1: number, w2: number, w3: number): number {
  const word = at < 64 ? (at < 32 ? w0 : w1) : at < 96 ? w2 : w3;
  return at < 128 ? (word >>> (31 - (at & 31))) & 1 : 0;
}

function maskWord(bits: number): number {
  return bits <= 0 ? 0 : bits >= 32 ? -1 : -1 << (32 - bits);
}
