/**
 * Notices that the network around us became another one: addresses or routes changed (rtnetlink), or the
 * machine was suspended (CLOCK_BOOTTIME went on while CLOCK_MONOTONIC stood still).
 *
 * Says so once per burst: coming up, a VPN makes a dozen changes within milliseconds.
 */
import { boottimeMs, monotonicMs, openMonitor } from "../linux/index.js";

const SETTLE_MS = 30;
/** A storm of changes (a routing daemon) must not put it off for ever. */
const SETTLE_MAX_MS = 300;
const SLEEP_CHECK_MS = 2_000;
const SUSPENDED_MS = 1_500;

export type NetworkEvent = "changed" | "resumed";

export class NetworkWatch {
  #monitor: ReturnType<typeof openMonitor> | null = null;
  #onEvent: (event: NetworkEvent) => void;
  #timer: NodeJS.Timeout | undefined;
  #firstAt = 0;
  #sleepTimer: NodeJS.Timeout | undefined;
  #readAsleepMs: () => number;
  #asleepMs: number;

  /**
   * Throws CzctlError when the kernel tells us nothing.
   * @param readAsleepMs CLOCK_BOOTTIME minus CLOCK_MONOTONIC: grows by each suspension
   */
  constructor(
    onEvent: (event: NetworkEvent) => void,
    readAsleepMs: () => number = () => boottimeMs() - monotonicMs(),
  ) {
    this.#onEvent = onEvent;
    this.#readAsleepMs = readAsleepMs;
    this.#asleepMs = readAsleepMs();
    this.#monitor = openMonitor();
    this.#monitor.watch(() => this.#changed());
    this.#sleepTimer = setInterval(() => this.#checkSleep(), SLEEP_CHECK_MS);
  }

  close(): void {
    clearTimeout(this.#timer);
    clearInterval(this.#sleepTimer);
    this.#monitor?.close();
    this.#monitor = null;
  }

  #changed(): void {
    const now = monotonicMs();
    if (this.#timer === undefined) this.#firstAt = now;
    clearTimeout(this.#timer);
    const waitMs = Math.min(SETTLE_MS, Math.max(0, this.#firstAt + SETTLE_MAX_MS - now));
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#onEvent("changed");
    }, waitMs);
  }

  #checkSleep(): void {
    const asleepMs = this.#readAsleepMs();
    if (asleepMs - this.#asleepMs > SUSPENDED_MS) this.#onEvent("resumed");
    this.#asleepMs = asleepMs;
  }
}
