/**
 * Keeps the service range clear of what others claim while we run: when a VPN comes up that wants it, we move.
 *
 * ```
 *   before   198.18.0.0/16 → czctl0
 *   a claim  198.18.0.0/15 → wg0            ours, the longer one, would hide the VPN's hosts
 *   moved    198.19… no, 246.246.0.0/16 → czctl0, and until the last flow to it ends: 198.18.0.7/32 → czctl0
 * ```
 *
 * Names point to the new addresses at once; flows that are open go on at the old ones. A range that the user
 * chose stays, with a warning that names the route.
 */
import type { FlowStatus } from "../api/index.js";
import { type Address, type Logger, type Prefix, parseEndpoint } from "../base/index.js";
import type { Device } from "./device.js";
import {
  assignRange,
  collisionOf,
  collisionText,
  dropRange,
  narrowRange,
  nextServiceRange,
} from "./service-range.js";

const DRAIN_CHECK_MS = 1_000;

export interface RangeKeeperOptions {
  device: Device;
  /** The user chose the range: it never moves. */
  fixed: boolean;
  log: Logger;
  flows(): Promise<FlowStatus[]>;
  /** `device.range` is another one now. */
  onMoved(): void;
  /** The last flow to an old address has ended, or the warning is another one. */
  onChange(): void;
}

interface Draining {
  range: Prefix;
  kept: Address[];
}

export class RangeKeeper {
  /** Why the range is not clear, when it cannot move. */
  warning: string | null = null;
  #options: RangeKeeperOptions;
  #draining: Draining[] = [];
  #timer: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(options: RangeKeeperOptions) {
    this.#options = options;
  }

  /** Old addresses that open flows still use. */
  get kept(): Address[] {
    return this.#draining.flatMap(({ kept }) => kept);
  }

  /** After a change of addresses or routes. Throws CzctlError when the kernel refuses. */
  async check(): Promise<void> {
    const { device, fixed, log } = this.#options;
    const collision = collisionOf(device.range, device.name);
    const next = collision === null || fixed ? null : nextServiceRange(device.name);
    if (collision === null || next === null) {
      this.#warn(collision && `${collisionText(collision)}: what is behind it may be out of reach`);
      return;
    }
    const old = device.range;
    const kept = await this.#inUse(old);
    if (this.#closed) return;
    log.warn(`${collisionText(collision)}; moving`, { to: next.toString(), openFlows: kept.length });
    assignRange(device.name, next);
    device.range = next;
    narrowRange(device.name, old, kept);
    if (kept.length > 0) this.#draining.push({ range: old, kept });
    this.#warn(null);
    this.#options.onMoved();
    this.#watchDrain();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
  }

  #warn(text: string | null): void {
    if (text === this.warning) return;
    this.warning = text;
    this.#options.onChange();
  }

  #watchDrain(): void {
    if (this.#closed || this.#draining.length === 0) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      void this.#drain().finally(() => this.#watchDrain());
    }, DRAIN_CHECK_MS);
  }

  async #drain(): Promise<void> {
    const { device, log } = this.#options;
    for (const each of [...this.#draining]) {
      if ((await this.#inUse(each.range)).length > 0 || this.#closed) continue;
      this.#draining = this.#draining.filter(other => other !== each);
      dropRange(device.name, each.range, each.kept);
      log.info("the last flow to the old service range has ended", { range: each.range.toString() });
      this.#options.onChange();
    }
  }

  /** Addresses of the range that flows go to. */
  async #inUse(range: Prefix): Promise<Address[]> {
    const flows = await this.#options.flows();
    const found = flows
      .map(({ destination }) => parseEndpoint(destination)?.address)
      .filter(address => address !== undefined)
      .filter(address => range.contains(address));
    return found.filter((address, i) => found.findIndex(other => other.equals(address)) === i);
  }
}
