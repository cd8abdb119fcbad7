/**
 * The names of consumed services on this machine: the hosts section, what the DNS responder answers, and that
 * systemd-resolved asks it where that runs.
 */
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
  Zone,
} from "../dns/index.js";
import { writeHosts } from "./hosts.js";

/** The data plane carries questions for the virtual address here. */
const RESPONDER_ADDRESS = "127.0.0.1";

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
}

export class Names {
  #settings: Settings;
  #resolved: ResolvedLink;
  #responder: DnsResponder = new DnsResponder();
  #serial = 0;
  /** What the hosts section holds; null: not known (a crashed run, a failed write). */
  #written: string | null = null;
  #everTried = false;

  constructor({ settings, ...options }: NamesOptions) {
    this.#settings = settings;
    this.#resolved = new ResolvedLink(options);
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

  /** Throws CzctlError when the hosts file cannot be written; DNS answers all the same. The next change tries again. */
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
    writeHosts(this.#settings, lines);
    this.#written = text;
  }

  /** Throws CzctlError when the section cannot be taken out. */
  async withdraw(): Promise<void> {
    await this.#resolved.withdraw();
    await this.#responder.close();
    if (this.#everTried) writeHosts(this.#settings, null);
  }
}
