/**
 * Virtual addresses: which number in the service range stands for which service.
 *
 * A key (`service.namespace`, or `address@service.namespace` for an endpoint of a headless service) owns an
 * *index*; the IPv4 and the IPv6 address are that index added to their prefixes. A new key starts at a hash
 * of itself and probes on, so a service tends to have the same address on every machine. An address that is
 * no longer used keeps its owner for as long as there are others to give away, oldest last: an application
 * that cached it never meets a different service there.
 *
 *   index   0         1              2               3 …                  last
 *           network   TUN device     DNS responder   services             broadcast
 */
import { type Address, CzctlError, Prefix } from "../base/index.js";

export const DEVICE_INDEX = 1;
export const DNS_INDEX = 2;
const FIRST_INDEX = 3;

/** Owners of addresses out of use that are remembered; bounds the state file. */
const REMEMBERED_MAX = 8192;

/** Benchmarking (RFC 2544), reserved and carrier-grade NAT space: what nobody routes by accident. */
export const SERVICE_RANGES: readonly Prefix[] = [
  Prefix.from("198.18.0.0/16"),
  Prefix.from("198.19.0.0/16"),
  Prefix.from("246.246.0.0/16"),
  Prefix.from("100.127.0.0/16"),
];

/** Both addresses of one owner. */
export interface VirtualPair {
  readonly v4: Address;
  readonly v6: Address;
}

/** Owner to index, those longest out of use first: what the state file keeps. */
export type PersistedAddresses = Readonly<Record<string, number>>;

export class VirtualAddresses {
  readonly range: Prefix;
  readonly ula: Prefix;
  private readonly lastIndex: number;
  /** Owner of each index, in use or remembered. */
  private readonly owners = new Map<number, string>();
  private readonly used = new Map<string, number>();
  /** In order of release, oldest first. */
  private readonly remembered = new Map<string, number>();

  /**
   * @param range IPv4, as `parseServiceRange` or `SERVICE_RANGES` give it
   * @param ula IPv6 /64
   * @param persisted of an earlier run; entries that do not fit `range` are forgotten
   */
  constructor(range: Prefix, ula: Prefix, persisted: PersistedAddresses = {}) {
    if (range.address.family !== 4 || range.bits > 29) throw new RangeError(`range: ${range}`);
    if (ula.address.family !== 6 || ula.bits > 96) throw new RangeError(`ula: ${ula}`);
    this.range = range;
    this.ula = ula;
    this.lastIndex = 2 ** (32 - range.bits) - 2;
    for (const [key, index] of Object.entries(persisted)) {
      if (!Number.isInteger(index) || index < FIRST_INDEX || index > this.lastIndex) continue;
      if (this.owners.has(index)) continue;
      this.owners.set(index, key);
      this.remembered.set(key, index);
    }
  }

  /** Addresses of the TUN device itself. */
  get device(): VirtualPair {
    return this.pair(DEVICE_INDEX);
  }

  /** Addresses of the DNS responder. */
  get dns(): VirtualPair {
    return this.pair(DNS_INDEX);
  }

  /** The addresses of `key`, given now if it has none; null when every address is in use. */
  assign(key: string): VirtualPair | null {
    const index = this.used.get(key) ?? this.remembered.get(key) ?? this.findIndex(key);
    if (index === -1) return null;
    this.remembered.delete(key);
    this.used.set(key, index);
    this.owners.set(index, key);
    return this.pair(index);
  }

  /** Takes every key out of use that `keep` does not hold. */
  releaseOthers(keep: ReadonlySet<string>): void {
    for (const key of [...this.used.keys()]) if (!keep.has(key)) this.release(key);
  }

  release(key: string): void {
    const index = this.used.get(key);
    if (index === undefined) return;
    this.used.delete(key);
    this.remembered.set(key, index);
    if (this.remembered.size > REMEMBERED_MAX) this.forgetOldest();
  }

  toJSON(): PersistedAddresses {
    return Object.fromEntries([...this.remembered, ...this.used]);
  }

  private pair(index: number): VirtualPair {
    return { v4: this.range.address.plus(index), v6: this.ula.address.plus(index) };
  }

  private findIndex(key: string): number {
    const size = this.lastIndex - FIRST_INDEX + 1;
    if (this.owners.size >= size) return this.forgetOldest();
    let index = FIRST_INDEX + (hash(key) % size);
    while (this.owners.has(index)) index = index === this.lastIndex ? FIRST_INDEX : index + 1;
    return index;
  }

  /** The index that was longest out of use, free now; -1 when all are in use. */
  private forgetOldest(): number {
    for (const [key, index] of this.remembered) {
      this.remembered.delete(key);
      this.owners.delete(index);
      return index;
    }
    return -1;
  }
}

/** FNV-1a with the finisher of MurmurHash3, over UTF-16 code units: spread evenly, not secret. */
function hash(text: string): number {
  let h = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/**
 * A route wider than this is somebody's "everything" (a default route, a full-tunnel VPN's halves), not a
 * claim to our range: the longer prefix wins and both work.
 */
const CLAIM_MIN_BITS = 8;

export type RangeChoice =
  | { range: Prefix; collision: null }
  /** None is free: the first candidate, and what it collides with. */
  | { range: null; collision: { candidate: Prefix; with: Prefix } };

/**
 * The first candidate that overlaps none of the prefixes that interfaces and routes claim.
 * @param candidates at least one
 */
export function chooseServiceRange(candidates: readonly Prefix[], taken: readonly Prefix[]): RangeChoice {
  const claims = taken.filter(prefix => prefix.bits >= CLAIM_MIN_BITS);
  let collision: { candidate: Prefix; with: Prefix } | null = null;
  for (const candidate of candidates) {
    const claim = claims.find(prefix => prefix.overlaps(candidate));
    if (claim === undefined) return { range: candidate, collision: null };
    collision ??= { candidate, with: claim };
  }
  if (collision === null) throw new RangeError("candidates: empty");
  return { range: null, collision };
}

/** A user's `--service-range`. Throws CzctlError (user). */
export function parseServiceRange(text: string): Prefix {
  const prefix = Prefix.parse(text);
  const fits = prefix !== null && prefix.address.family === 4 && prefix.bits >= 8 && prefix.bits <= 28;
  if (!fits || prefix.address.isLoopback || prefix.address.isMulticast || prefix.address.isUnspecified) {
    throw new CzctlError(`service range "${text}" cannot be used`, {
      code: "SERVICE_RANGE_INVALID",
      category: "user",
      hint: "give an unused IPv4 network from /8 to /28, such as 198.18.0.0/16",
    });
  }
  return prefix;
}
