/**
 * The names of consumed services on this machine: the hosts section, what the DNS responder answers, and that
 * systemd-resolved asks it where that runs.
 */
import { readFileSync, unwatchFile, watchFile } from "node:fs";
import type { Settings } from "../api/index.js";
import type { Address, Logger, Prefix } from "../base/index.js";
import { hostEntries, type PlacedService } from "../catalog/index.js";
import {
  DnsResponder,
  ResolvedLink,
  type ResolvedStatus,
  type ResponderPorts,
  renderSection,
  reverseZones,
  splitHosts,
  Zone,
} from "../dns/index.js";
import { writeHosts } from "./hosts.js";

/** The data plane carries questions for the virtual address here. */
const RESPONDER_ADDRESS = "127.0.0.1";
/** How often we look whether somebody has edited the hosts file: by its status, which costs microseconds. */
const HOSTS_CHECK_MS = 2_000;
/** A full disk, a read-only mount: neither tells when it is over. */
const HOSTS_RETRY_MS = 3_000;

export interface PublishedNames {
  /** Null until the catalog has arrived. */
  services: readonly PlacedService[] | null;
  /** Cluster domain. */
  domain: string;
  primaryNamespace: string | null;
  /** Of virtual addresses: the reverse zones that are ours. */
  ranges: readonly Prefix[];
  /** Where the responder is asked. */
  server: Address;
}

export interface NamesOptions {
  settings: Settings;
  /** Our device's number (ifindex). */
  link: number;
  log: Logger;
  /** Somebody changed our section in the hosts file, or a write failed a while ago: publish once more. */
  onHostsLost(): void;
}

export class Names {
  #settings: Settings;
  #log: Logger;
  #onHostsLost: () => void;
  #resolved: ResolvedLink;
  #responder: DnsResponder = new DnsResponder();
  #serial = 0;
  /** What the hosts section holds; null: not known (a crashed run, a failed write). */
  #written: string | null = null;
  #everTried = false;
  #retryTimer: NodeJS.Timeout | undefined;

  constructor({ settings, onHostsLost, ...options }: NamesOptions) {
    this.#settings = settings;
    this.#log = options.log;
    this.#onHostsLost = onHostsLost;
    this.#resolved = new ResolvedLink(options);
    watchFile(settings.hostsFile, { interval: HOSTS_CHECK_MS, persistent: false }, () => this.#checkHosts());
  }

  get resolved(): ResolvedStatus {
    return this.#resolved.status;
  }

  /** The network has changed, and with it maybe what others told the machine's resolver. */
  networkChanged(): void {
    this.#resolved.renew();
  }

  /** Throws CzctlError. */
  start(): Promise<ResponderPorts> {
    return this.#responder.start({ address: RESPONDER_ADDRESS, port: 0 });
  }

  /** Throws CzctlError when the hosts file cannot be written; DNS answers all the same. Tried again soon. */
  publish(names: PublishedNames): void {
    const { services, domain, primaryNamespace, ranges, server } = names;
    this.#responder.setZone(new Zone({ ...names, serial: ++this.#serial }));
    this.#resolved.set({ servers: [server], domains: [domain, ...reverseZones(ranges)] });
    const entries = hostEntries(services ?? [], domain, primaryNamespace);
    const lines = entries.length === 0 ? null : renderSection(entries);
    const text = lines?.join("\n") ?? "";
    if (text === this.#written) return;
    this.#everTried = true;
    this.#written = null;
    clearTimeout(this.#retryTimer);
    try {
      writeHosts(this.#settings, lines);
    } catch (error) {
      this.#retryTimer = setTimeout(this.#onHostsLost, HOSTS_RETRY_MS);
      throw error;
    }
    this.#written = text;
  }

  /** Other programs rewrite the file from what they know of it. */
  #checkHosts(): void {
    if (!this.#everTried) return;
    if (this.#written !== null) {
      if (sectionIn(this.#settings.hostsFile) === this.#written) return;
      this.#log.warn("another program changed our section in the hosts file", {
        file: this.#settings.hostsFile,
      });
    }
    this.#written = null;
    this.#onHostsLost();
  }

  /** Throws CzctlError when the section cannot be taken out. */
  async withdraw(): Promise<void> {
    unwatchFile(this.#settings.hostsFile);
    clearTimeout(this.#retryTimer);
    await this.#resolved.withdraw();
    await this.#responder.close();
    if (this.#everTried) writeHosts(this.#settings, null);
  }
}

/** What of the file is ours, as it is remembered; "" when nothing is. */
function sectionIn(path: string): string {
  try {
    return splitHosts(readFileSync(path)).section.toString("latin1").trimEnd();
  } catch {
    return "";
  }
}
