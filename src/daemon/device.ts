/**
 * The TUN device of a daemon: which range of virtual addresses it stands for, its addresses and its routes.
 * Routed are the service range and our IPv6 /64, nothing else. The device, and with it addresses and routes,
 * goes away with its last descriptor: the daemon's and its data plane's.
 */
import { closeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { CzctlError, type Logger, Prefix } from "../base/index.js";
import { chooseServiceRange, parseServiceRange, SERVICE_RANGES, VirtualAddresses } from "../catalog/index.js";
import {
  addAddress,
  errnoOf,
  listAddresses,
  listLinks,
  listRoutes,
  openTun,
  setLink,
  type TunDevice,
} from "../linux/index.js";
import { uapiSocketPath } from "./uapi.js";
import { isListening } from "./unix-socket.js";

/** As the tunnel's: what a program sends in one UDP datagram then also fits one tunnel packet. */
export const TUN_MTU = 1420;
const TX_QUEUE_PACKETS = 1000;
const DEVICES_MAX = 64;
const EBUSY = 16;
/** How long a device of a predecessor that was just killed may take to vanish. */
const STALE_WAIT_MS = 1_000;

export interface DeviceOptions {
  /** `--service-range` */
  wantedRange: string | undefined;
  /** Of the last run. */
  lastRange: string | null;
  ula: string;
  tso: boolean;
  log: Logger;
}

export interface Device {
  name: string;
  fd: number;
  mtu: number;
  tso: boolean;
  range: Prefix;
  ula: Prefix;
  /** Where the data plane listens for `wg`. */
  uapiSocketPath: string | null;
  close(): void;
}

/** Throws CzctlError. */
export async function openDevice(options: DeviceOptions): Promise<Device> {
  const range = await freeRange(options);
  const ula = Prefix.from(options.ula);
  const tun = await openFreeTun(options.tso);
  try {
    const { device } = new VirtualAddresses(range, ula);
    setLink(tun.name, { mtu: TUN_MTU, txQueuePackets: TX_QUEUE_PACKETS, linkLocal: false, up: true });
    addAddress(tun.name, device.v4, range.bits);
    try {
      addAddress(tun.name, device.v6, ula.bits);
    } catch (error) {
      options.log.warn("no virtual IPv6 addresses on this machine", { error });
    }
  } catch (error) {
    closeSync(tun.fd);
    throw error;
  }
  return {
    name: tun.name,
    fd: tun.fd,
    mtu: TUN_MTU,
    tso: tun.tso,
    range,
    ula,
    uapiSocketPath: uapiSocketPath(tun.name),
    close: () => closeSync(tun.fd),
  };
}

async function freeRange({ wantedRange, lastRange }: DeviceOptions): Promise<Prefix> {
  const wanted = wantedRange === undefined ? null : parseServiceRange(wantedRange);
  const last = lastRange === null ? [] : SERVICE_RANGES.filter(range => range.equals(Prefix.from(lastRange)));
  const preferred = wanted === null ? last : [wanted];
  if (preferred.length > 0) {
    for (const until = performance.now() + STALE_WAIT_MS; ; await sleep(20)) {
      const { range } = chooseServiceRange(preferred, takenPrefixes());
      if (range !== null) return range;
      if (performance.now() > until || !ownDeviceExists()) break;
    }
  }
  const choice = chooseServiceRange(wanted === null ? SERVICE_RANGES : [wanted], takenPrefixes());
  if (choice.range !== null) return choice.range;
  const { candidate, with: claim } = choice.collision;
  const overlap = `the service range ${candidate} overlaps ${claim}, which this machine already routes`;
  throw new CzctlError(wanted === null ? `no service range is free: ${overlap}` : overlap, {
    code: "SERVICE_RANGE_TAKEN",
    category: wanted === null ? "environment" : "config",
    hint: "Choose an unused network with --service-range ADDRESS/BITS.",
  });
}

/** What interfaces and routes claim. */
function takenPrefixes(): Prefix[] {
  return [
    ...listAddresses().map(({ address, bits }) => new Prefix(address, bits)),
    ...listRoutes().map(({ destination }) => destination),
  ];
}

function ownDeviceExists(): boolean {
  return listLinks().some(({ name }) => /^czctl\d+$/.test(name));
}

async function openFreeTun(tso: boolean): Promise<TunDevice> {
  const existing = new Set(listLinks().map(link => link.name));
  for (let number = 0; number < DEVICES_MAX; number++) {
    const name = `czctl${number}`;
    if (existing.has(name)) continue;
    const uapi = uapiSocketPath(name);
    if (uapi !== null && (await isListening(uapi))) continue;
    try {
      return openTun({ name, tso });
    } catch (error) {
      if (errnoOf(error) !== EBUSY) throw error;
    }
  }
  throw new CzctlError("no device name is free", {
    code: "DEVICE_NAMES_TAKEN",
    category: "environment",
    hint: "Remove devices named czctl0 to czctl63 that nobody uses.",
  });
}
