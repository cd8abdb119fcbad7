/**
 * Who talks to whom over which link, as plain 32-bit words, and a table keyed by it.
 *
 * "Local" is the address that the packet was sent to: the stack answers for every address.
 */
import { Address, type AddressFamily } from "../base/index.js";
import { foldSum, sumWord } from "../wire/index.js";

/** The inner address is this stack's alone, so it need not keep to the ephemeral range (RFC 6056 §3.2). */
const FIRST_LOCAL_PORT = 1024;
const LAST_LOCAL_PORT = 65_535;
/** A prime, so that a walk by it meets every port once before it meets one again; and it does not count up (RFC 6056). */
export const PORT_STEP = 39_869;

export class FlowKey {
  linkId = 0;
  family: AddressFamily = 4;
  local0 = 0;
  local1 = 0;
  local2 = 0;
  local3 = 0;
  remote0 = 0;
  remote1 = 0;
  remote2 = 0;
  remote3 = 0;
  /** Local port in the high half, remote port in the low one: as the ports stand in what we send. */
  ports = 0;

  /** Of a flow that we open; its local port is still to be chosen. */
  static towards(linkId: number, local: Address, remote: Address, remotePort: number): FlowKey {
    const key = new FlowKey();
    key.linkId = linkId;
    key.setLocal(local);
    key.setRemote(remote);
    key.setPorts(0, remotePort);
    return key;
  }

  get localPort(): number {
    return this.ports >>> 16;
  }

  get remotePort(): number {
    return this.ports & 0xffff;
  }

  get local(): Address {
    return new Address(this.family, this.local0, this.local1, this.local2, this.local3);
  }

  get remote(): Address {
    return new Address(this.family, this.remote0, this.remote1, this.remote2, this.remote3);
  }

  setLocal(address: Address): void {
    this.family = address.family;
    this.local0 = address.w0 | 0;
    this.local1 = address.w1 | 0;
    this.local2 = address.w2 | 0;
    this.local3 = address.w3 | 0;
  }

  setRemote(address: Address): void {
    this.remote0 = address.w0 | 0;
    this.remote1 = address.w1 | 0;
    this.remote2 = address.w2 | 0;
    this.remote3 = address.w3 | 0;
  }

  setPorts(local: number, remote: number): void {
    this.ports = (local << 16) | remote;
  }

  copy(): FlowKey {
    const copy = new FlowKey();
    copy.linkId = this.linkId;
    copy.family = this.family;
    copy.local0 = this.local0;
    copy.local1 = this.local1;
    copy.local2 = this.local2;
    copy.local3 = this.local3;
    copy.remote0 = this.remote0;
    copy.remote1 = this.remote1;
    copy.remote2 = this.remote2;
    copy.remote3 = this.remote3;
    copy.ports = this.ports;
    return copy;
  }

  /** The same flow as the other end sees it. */
  reversed(): FlowKey {
    const other = new FlowKey();
    other.linkId = this.linkId;
    other.setLocal(this.remote);
    other.setRemote(this.local);
    other.setPorts(this.remotePort, this.localPort);
    return other;
  }

  equals(other: FlowKey): boolean {
    return (
      this.ports === other.ports &&
      this.remote3 === other.remote3 &&
      this.local3 === other.local3 &&
      this.linkId === other.linkId &&
      this.remote2 === other.remote2 &&
      this.remote1 === other.remote1 &&
      this.remote0 === other.remote0 &&
      this.local2 === other.local2 &&
      this.local1 === other.local1 &&
      this.local0 === other.local0
    );
  }

  /** Folded sum of both addresses, for the pseudo-header. */
  addressSum(): number {
    const low = sumWord(this.local3) + sumWord(this.remote3);
    if (this.family === 4) return foldSum(low);
    return foldSum(
      low +
        sumWord(this.local0) +
        sumWord(this.local1) +
        sumWord(this.local2) +
        sumWord(this.remote0) +
        sumWord(this.remote1) +
        sumWord(this.remote2),
    );
  }

  /** `seed` is secret, so that nobody can choose keys that collide. */
  hash(seed: number): number {
    let h = mix(seed, this.ports);
    h = mix(h, this.linkId);
    h = mix(h, this.remote3);
    h = mix(h, this.local3);
    if (this.family === 6) {
      h = mix(mix(mix(h, this.remote0), this.remote1), this.remote2);
      h = mix(mix(mix(h, this.local0), this.local1), this.local2);
    }
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    return h ^ (h >>> 16);
  }
}

/**
 * Picks a key's local port: the first from `start` on (RFC 6056 §3.3.1, where `start` is random) with which the key
 * `isFree`. False when there is none.
 */
export function choosePort(key: FlowKey, start: number, isFree: () => boolean): boolean {
  const remotePort = key.remotePort;
  const span = LAST_LOCAL_PORT - FIRST_LOCAL_PORT + 1;
  for (let tried = 0; tried < span; tried++) {
    key.setPorts(FIRST_LOCAL_PORT + ((start + tried) % span), remotePort);
    if (isFree()) return true;
  }
  return false;
}

/** One round of MurmurHash3's 32-bit variant. */
function mix(h: number, word: number): number {
  let k = Math.imul(word, 0xcc9e2d51);
  k = (k << 15) | (k >>> 17);
  const x = h ^ Math.imul(k, 0x1b873593);
  return (Math.imul((x << 13) | (x >>> 19), 5) + 0xe6546b64) | 0;
}

export interface Keyed {
  readonly key: FlowKey;
}

/** Open addressing with linear probing; deletion moves later entries back, so there are no tombstones. */
export class FlowTable<T extends Keyed> {
  size = 0;
  private slots: (T | null)[] = new Array<T | null>(64).fill(null);
  private hashes: Int32Array = new Int32Array(64);
  private readonly seed: number;

  constructor(seed: number) {
    this.seed = seed | 0;
  }

  find(key: FlowKey): T | null {
    const hash = key.hash(this.seed);
    const mask = this.hashes.length - 1;
    for (let at = hash & mask; ; at = (at + 1) & mask) {
      const entry = this.slots[at] as T | null;
      if (entry === null) return null;
      if (this.hashes[at] === hash && entry.key.equals(key)) return entry;
    }
  }

  /** The key must not be in the table yet. */
  insert(entry: T): void {
    if (this.size * 2 >= this.hashes.length) this.resize(this.hashes.length << 1);
    this.place(entry, entry.key.hash(this.seed));
    this.size++;
  }

  remove(entry: T): void {
    const mask = this.hashes.length - 1;
    let hole = entry.key.hash(this.seed) & mask;
    while (this.slots[hole] !== entry) {
      if (this.slots[hole] === null) return;
      hole = (hole + 1) & mask;
    }
    for (let at = (hole + 1) & mask; this.slots[at] !== null; at = (at + 1) & mask) {
      const home = (this.hashes[at] as number) & mask;
      // The entry may move into the hole unless its home lies cyclically in (hole, at].
      if (((at - home) & mask) >= ((at - hole) & mask)) {
        this.slots[hole] = this.slots[at] as T;
        this.hashes[hole] = this.hashes[at] as number;
        hole = at;
      }
    }
    this.slots[hole] = null;
    this.size--;
    if (this.hashes.length > 64 && this.size * 8 < this.hashes.length) this.resize(this.hashes.length >> 1);
  }

  /** A copy: entries may be removed while it is walked. */
  entries(): T[] {
    return this.slots.filter((entry): entry is T => entry !== null);
  }

  private place(entry: T, hash: number): void {
    const mask = this.hashes.length - 1;
    let at = hash & mask;
    while (this.slots[at] !== null) at = (at + 1) & mask;
    this.slots[at] = entry;
    this.hashes[at] = hash;
  }

  private resize(length: number): void {
    const entries = this.entries();
    this.slots = new Array<T | null>(length).fill(null);
    this.hashes = new Int32Array(length);
    for (const entry of entries) this.place(entry, entry.key.hash(this.seed));
  }
}
