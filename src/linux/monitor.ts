/** Tells when links, addresses or routes of this network namespace change: the daemon then looks anew. */
import koffi from "koffi";
import { ENOBUFS, libc } from "./ffi.js";
import { openNetlink, receiveMessages } from "./netlink.js";

// Multicast groups of NETLINK_ROUTE, as bits (RTMGRP_*).
const LINK = 0x1;
const IPV4_ADDRESS = 0x10;
const IPV4_ROUTE = 0x40;
const IPV6_ADDRESS = 0x100;
const IPV6_ROUTE = 0x400;

export type NetworkChange = "link" | "address" | "route";

export class NetworkMonitor {
  /** Readable when there is something to `read`. */
  readonly fd: number;
  private handle: ReturnType<typeof koffi.node.poll> | null = null;

  constructor() {
    this.fd = openNetlink(LINK | IPV4_ADDRESS | IPV4_ROUTE | IPV6_ADDRESS | IPV6_ROUTE);
  }

  /** What has changed since the last call. More than the kernel could queue counts as everything. */
  read(): Set<NetworkChange> {
    const changes = new Set<NetworkChange>();
    for (;;) {
      const received = receiveMessages(this.fd);
      if (received === -ENOBUFS) {
        changes.add("link").add("address").add("route");
        continue;
      }
      if (typeof received === "number") return changes;
      for (const { type } of received) {
        // RTM_NEWLINK… 16–19, RTM_NEWADDR… 20–23, RTM_NEWROUTE… 24–27.
        const group = type >> 2;
        if (group === 4) changes.add("link");
        else if (group === 5) changes.add("address");
        else if (group === 6) changes.add("route");
      }
    }
  }

  /** Calls back from Node's event loop after changes. Keeps the process alive until `close`. */
  watch(onChange: (changes: ReadonlySet<NetworkChange>) => void): void {
    this.handle = koffi.node.poll(this.fd, { readable: true }, () => {
      const changes = this.read();
      if (changes.size > 0) onChange(changes);
    });
  }

  close(): void {
    this.handle?.close();
    this.handle = null;
    libc.close(this.fd);
  }
}

/** Starts to listen at once: changes from here on are seen. Throws CzctlError. */
export function openMonitor(): NetworkMonitor {
  return new NetworkMonitor();
}
