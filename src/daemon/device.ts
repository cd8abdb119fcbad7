/**
 * The TUN device of a daemon. Routed into it are the service range (`service-range.ts`) and our IPv6 /64,
 * nothing else. The device, and with it addresses and routes, goes away with its last descriptor: the daemon's
 * and its data plane's.
 */
import { closeSync } from "node:fs";
import { CzctlError, type Logger, Prefix } from "../base/index.js";
import { VirtualAddresses } from "../catalog/index.js";
import {
  addAddress,
  errnoOf,
  linkIndex,
  listLinks,
  openTun,
  setLink,
  type TunDevice,
} from "../linux/index.js";
import { assignRange, findServiceRange } from "./service-range.js";
import { uapiSocketPath } from "./uapi.js";
import { isListening } from "./unix-socket.js";

/** As the tunnel's: what a program sends in one UDP datagram then also fits one tunnel packet. */
export const TUN_MTU = 1420;
const TX_QUEUE_PACKETS = 1000;
const DEVICES_MAX = 64;
const EBUSY = 16;

export interface DeviceOptions {
  /** `--service-range` */
  wantedRange: string | undefined;
  /** Of the last run. */
  lastRange: string | null;
  ula: string;
  tso: boolean;
  /** `/dev/net/tun`, opened already. */
  tunFile: number | undefined;
  log: Logger;
}

export interface Device {
  name: string;
  /** Its number in this network namespace (ifindex). */
  index: number;
  fd: number;
  mtu: number;
  tso: boolean;
  /** May change, see `range-keeper.ts`. */
  range: Prefix;
  ula: Prefix;
  /** Where the data plane listens for `wg`. */
  uapiSocketPath: string | null;
  close(): void;
}

/** Throws CzctlError. */
export async function openDevice(options: DeviceOptions): Promise<Device> {
  const range = await findServiceRange(options.wantedRange, options.lastRange);
  const ula = Prefix.from(options.ula);
  const tun = await openFreeTun(options);
  try {
    const { device } = new VirtualAddresses(range, ula);
    setLink(tun.name, { mtu: TUN_MTU, txQueuePackets: TX_QUEUE_PACKETS, linkLocal: false, up: true });
    assignRange(tun.name, range);
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
    index: linkIndex(tun.name),
    fd: tun.fd,
    mtu: TUN_MTU,
    tso: tun.tso,
    range,
    ula,
    uapiSocketPath: uapiSocketPath(tun.name),
    close: () => closeSync(tun.fd),
  };
}

async function openFreeTun({ tso, tunFile }: DeviceOptions): Promise<TunDevice> {
  const existing = new Set(listLinks().map(link => link.name));
  for (let number = 0; number < DEVICES_MAX; number++) {
    const name = `czctl${number}`;
    if (existing.has(name)) continue;
    const uapi = uapiSocketPath(name);
    if (uapi !== null && (await isListening(uapi))) continue;
    try {
      return openTun({ name, tso, file: tunFile });
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
