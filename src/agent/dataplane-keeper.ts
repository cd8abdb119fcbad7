/**
 * Keeps a data plane running: starts it, gives each new one the whole state, starts it again when it dies, at
 * once the first time and then ever more slowly. Devices notice by themselves and shake hands again.
 */
import type { DataplaneStatus, FromDataplane, ToDataplane } from "../api/index.js";
import { CzctlError, type Logger } from "../base/index.js";
import { type DataplaneExit, DataplaneProcess, RestartDelay, spawnDataplane } from "../dataplane/index.js";

type Failed = Extract<FromDataplane, { type: "failed" }>;

export interface DataplaneKeeperOptions {
  log: Logger;
  /** What a new data plane is told, as things are now: `start` and `targets`. */
  opening(): ToDataplane[];
  onMessage(message: FromDataplane): void;
  /** Script to run instead of the real one (tests). */
  entry?: string;
}

export class DataplaneKeeper {
  readonly #options: DataplaneKeeperOptions;
  #process: DataplaneProcess | null = null;
  #ready = false;
  #failed: Failed | null = null;
  #wasReady = false;
  readonly #delay: RestartDelay = new RestartDelay();
  #restart: NodeJS.Timeout | undefined;
  #stopping = false;
  /** Whoever waits for a data plane that is ready, or for the news that there will be none. */
  #waiting: { resolve(process: DataplaneProcess): void; reject(error: Error): void }[] = [];

  constructor(options: DataplaneKeeperOptions) {
    this.#options = options;
  }

  /** Resolves when the first one is ready; throws CzctlError when it cannot start. */
  async start(): Promise<void> {
    if (!this.#stopping) this.#spawn();
    await this.#whenReady();
  }

  /** Changes the state of a running data plane; one that starts later is told by `opening`. */
  send(message: ToDataplane): void {
    this.#process?.send(message);
  }

  /** The answer also proves that everything sent before has been taken up. */
  async status(): Promise<DataplaneStatus> {
    return (await this.#whenReady()).request("status");
  }

  async stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#restart);
    this.#giveUp(gone("it is being stopped"));
    await this.#process?.stop();
  }

  #spawn(): void {
    const { entry, log, opening, onMessage } = this.#options;
    this.#failed = null;
    this.#delay.started(performance.now());
    const child = new DataplaneProcess(spawnDataplane([], entry), {
      onMessage: message => {
        if (message.type === "ready") {
          this.#ready = true;
          this.#wasReady = true;
          log.info("data plane ready", { pid: child.pid, port: message.listenPort });
          for (const waiter of this.#waiting.splice(0)) waiter.resolve(child);
        } else if (message.type === "failed") {
          this.#failed = message;
        } else {
          onMessage(message);
        }
      },
      onExit: exit => this.#exited(exit),
    });
    this.#process = child;
    for (const message of opening()) child.send(message);
  }

  #exited(exit: DataplaneExit): void {
    this.#process = null;
    this.#ready = false;
    if (this.#stopping) return;
    const why = this.#failed?.message ?? exit.violation ?? exit.signal ?? `exit code ${exit.code}`;
    if (!this.#wasReady) {
      // Nothing has worked yet: more likely a wrong setting than an accident.
      this.#stopping = true;
      this.#giveUp(this.#failed === null ? gone(why) : startFailure(this.#failed));
      return;
    }
    const delayMs = this.#delay.died(performance.now());
    this.#options.log.error("data plane ended; starting it again", { why, delayMs });
    this.#restart = setTimeout(() => this.#spawn(), delayMs);
  }

  #whenReady(): Promise<DataplaneProcess> {
    if (this.#stopping) return Promise.reject(gone("it has been stopped"));
    if (this.#process !== null && this.#ready) return Promise.resolve(this.#process);
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  #giveUp(error: CzctlError): void {
    for (const waiter of this.#waiting.splice(0)) waiter.reject(error);
  }
}

function gone(why: string): CzctlError {
  return new CzctlError(`the data plane does not run: ${why}`, {
    code: "DATAPLANE_UNAVAILABLE",
    category: "environment",
  });
}

function startFailure({ code, message, hint }: Failed): CzctlError {
  return new CzctlError(message, {
    code,
    category: "environment",
    ...(hint === undefined ? {} : { hint }),
  });
}
