/**
 * The service range against everybody else's addresses and routes: which one is free, and how ours is routed.
 *
 * The device has its address as a /32 beside a route with a metric nobody would choose, so a VPN may claim the
 * very same prefix: its route is added without an error and wins, and we move (`range-keeper.ts`).
 */
import { setTimeout as sleep } from "node:timers/promises";
import { type Address, CzctlError, Prefix } from "../base/index.js";
import { chooseServiceRange, DEVICE_INDEX, parseServiceRange, SERVICE_RANGES } from "../catalog/index.js";
import {
  addAddress,
  addRoute,
  deleteAddress,
  deleteRoute,
  listAddresses,
  listLinks,
  listRoutes,
} from "../linux/index.js";

/** Every network manager's routes win against it. */
const ROUTE_METRIC = 20_000;
const HOST_BITS = 32;
/** How long a device of a predecessor that was just killed may take to vanish. */
const STALE_WAIT_MS = 1_000;

/** What somebody else's address or route says is theirs. */
export interface Claim {
  readonly prefix: Prefix;
  /** Network device, or null for blackholes and the like. */
  readonly device: string | null;
}

export interface Collision {
  readonly candidate: Prefix;
  readonly claim: Claim;
}

/** The first free range, or the user's own. Throws CzctlError naming the colliding route. */
export async function findServiceRange(
  wantedText: string | undefined,
  lastText: string | null,
): Promise<Prefix> {
  const wanted = wantedText === undefined ? null : parseServiceRange(wantedText);
  const last = lastText === null ? [] : SERVICE_RANGES.filter(range => range.equals(Prefix.from(lastText)));
  const preferred = wanted === null ? last : [wanted];
  if (preferred.length > 0) {
    for (const until = performance.now() + STALE_WAIT_MS; ; await sleep(20)) {
      const found = choose(preferred, claims());
      if (found instanceof Prefix) return found;
      if (performance.now() > until || !ownDeviceExists()) break;
    }
  }
  const found = choose(wanted === null ? SERVICE_RANGES : [wanted], claims());
  if (found instanceof Prefix) return found;
  const overlap = `${collisionText(found)}, which this machine already routes`;
  throw new CzctlError(wanted === null ? `no service range is free: ${overlap}` : overlap, {
    code: "SERVICE_RANGE_TAKEN",
    category: wanted === null ? "environment" : "config",
    hint: "Choose an unused network with --service-range ADDRESS/BITS.",
  });
}

export function collisionText({ candidate, claim }: Collision): string {
  const { prefix, device } = claim;
  return `the service range ${candidate} overlaps ${prefix}${device === null ? "" : ` on ${device}`}`;
}

/** Who claims the range that our device has, or null. */
export function collisionOf(range: Prefix, ownDevice: string): Collision | null {
  const found = choose([range], claims(ownDevice));
  return found instanceof Prefix ? null : found;
}

/** A range to move to, or null when all are claimed. */
export function nextServiceRange(ownDevice: string): Prefix | null {
  const found = choose(SERVICE_RANGES, claims(ownDevice));
  return found instanceof Prefix ? found : null;
}

/** The device answers for the range from now on. */
export function assignRange(device: string, range: Prefix): void {
  addAddress(device, deviceAddress(range), HOST_BITS);
  addRoute(range, device, ROUTE_METRIC);
}

/** Only these addresses of the range stay routed; our own stays too, as the source of what goes there. */
export function narrowRange(device: string, range: Prefix, keep: readonly Address[]): void {
  for (const address of keep) addRoute(Prefix.host(address), device);
  deleteRoute(range, device);
  if (keep.length === 0) deleteAddress(device, deviceAddress(range), HOST_BITS);
}

/** Ends what `narrowRange` left. */
export function dropRange(device: string, range: Prefix, kept: readonly Address[]): void {
  for (const address of kept) deleteRoute(Prefix.host(address), device);
  deleteAddress(device, deviceAddress(range), HOST_BITS);
}

function deviceAddress(range: Prefix): Address {
  return range.address.plus(DEVICE_INDEX);
}

function choose(candidates: readonly Prefix[], taken: readonly Claim[]): Prefix | Collision {
  const { range, collision } = chooseServiceRange(
    candidates,
    taken.map(({ prefix }) => prefix),
  );
  if (range !== null) return range;
  const claim = taken.find(({ prefix }) => prefix === collision.with) as Claim;
  return { candidate: collision.candidate, claim };
}

/** @param except device whose own addresses and routes do not count */
function claims(except: string | null = null): Claim[] {
  const links = new Map(listLinks().map(({ index, name }) => [index, name]));
  const found = [
    ...listRoutes().map(({ destination, oif }) => ({ prefix: destination, link: oif })),
    ...listAddresses().map(({ address, bits, link }) => ({ prefix: new Prefix(address, bits), link })),
  ].map(({ prefix, link }) => ({ prefix, device: links.get(link ?? -1) ?? null }));
  return found.filter(({ device }) => except === null || device !== except);
}

function ownDeviceExists(): boolean {
  return listLinks().some(({ name }) => /^czctl\d+$/.test(name));
}
