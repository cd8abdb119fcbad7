/**
 * One space being consumed: its data plane (started again whenever it dies, on the same TUN device), the way
 * to the agent, and the catalog that the agent tells. Says when something changed; what follows from that is
 * the daemon's.
 */
import type { ChildProcess } from "node:child_process";
import { rm } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import type {
  CatalogEvent,
  DataplaneStatus,
  FlowStatus,
  FromDataplane,
  LinkState,
  Problem,
  Route,
} from "../api/index.js";
import { LineLimiter, type Logger, type Prefix } from "../base/index.js";
import { Catalog, type VirtualPair } from "../catalog/index.js";
import { type DataplaneExit, DataplaneProcess, RestartDelay, spawnDataplane } from "../dataplane/index.js";
import { CatalogClient } from "./catalog-client.js";
import { isTooMany, SERVICES_MAX } from "./catalog-events.js";
import { AgentEndpoint } from "./endpoint.js";
import { agentPeer, type DataplaneSetting, startMessage } from "./start-message.js";
import type { Space } from "./state.js";

const RESOLVE_RETRY_MS = 1_000;
const SPAWN_RETRY_MS = 1_000;
/** What the data plane may make us do: it parses hostile bytes. */
const REPORTS_PER_SECOND = 10;
const BURST_REPORTS = 50;

export interface SessionOptions extends DataplaneSetting {
  space: Space;
  /** Prefixes of virtual addresses. */
  ours: readonly Prefix[];
  log: Logger;
  /** Catalog, link or problem changed. */
  onChange(): void;
  /** The TUN device was deleted; no data plane can work on this descriptor any more. */
  onDeviceGone(): void;
  /** Script to run instead of the data plane (tests). */
  entry?: string;
  /** The first data plane, started already on the same TUN descriptor. */
  ahead?: ChildProcess;
}

export interface TeamspaceInfo {
  teamspace: string;
  agentVersion: string;
}

export class Session {
  readonly catalog: Catalog = new Catalog();
  readonly space: Space;
  /** Null before the first snapshot. */
  teamspace: TeamspaceInfo | null = null;
  link: LinkState = "connecting";
  problem: Problem | null = null;
  /** The data plane could not start, and would not another time. */
  failure: Problem | null = null;
  restarts = 0;
  /** When the agent was last heard on the catalog's stream, as `performance.now()`; null before the first time. */
  catalogHeardAt: number | null = null;
  #options: SessionOptions;
  #endpoint: AgentEndpoint;
  #client: CatalogClient;
  #dataplane: DataplaneProcess | null = null;
  #ahead: ChildProcess | undefined;
  readonly #delay: RestartDelay = new RestartDelay();
  #shookHands = false;
  #lostBecause = "";
  #routes: Route[] = [];
  #lastRoutes = "[]";
  /** The kernel's way to the agent when we last looked. */
  #path: string | null = null;
  #limiter = new LineLimiter(REPORTS_PER_SECOND, BURST_REPORTS, performance.now());
  #stopping = new AbortController();

  constructor(options: SessionOptions) {
    this.#options = options;
    this.space = options.space;
    this.#ahead = options.ahead;
    this.#endpoint = new AgentEndpoint(options.space.credential.agent.endpoint, options.ours);
    this.#client = new CatalogClient({
      socketPath: options.controlSocketPath,
      log: options.log,
      onEvent: event => this.#takeEvent(event),
      onDown: reason => this.#lostCatalog(reason),
    });
  }

  get endpoint(): string {
    return this.#endpoint.current ?? this.#endpoint.text;
  }

  /** Goes on until `stop`. */
  async start(): Promise<void> {
    while (!(await this.#endpoint.advance()) && this.#endpoint.current === null) {
      this.#setProblem(await this.#diagnose());
      await this.#pause(RESOLVE_RETRY_MS);
      if (this.#stopping.signal.aborted) return;
    }
    await this.#spawnAfter(0);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#client.stop();
    this.#ahead?.kill("SIGKILL");
    await this.#dataplane?.stop();
    await rm(this.#options.controlSocketPath, { force: true });
    if (this.#options.uapiSocketPath !== undefined) await rm(this.#options.uapiSocketPath, { force: true });
  }

  setRoutes(routes: Route[]): void {
    const text = JSON.stringify(routes);
    if (text === this.#lastRoutes) return;
    this.#lastRoutes = text;
    this.#routes = routes;
    this.#dataplane?.send({ type: "routes", routes });
  }

  /** Call before the responder gets another zone: the data plane then repeats no answer of the old one. */
  setDns({ v4, v6 }: VirtualPair): void {
    const addresses = [v4.toString(), v6.toString()];
    this.#options.dns.addresses = addresses;
    this.#dataplane?.send({ type: "dns", addresses });
  }

  /**
   * Addresses or routes changed, or the machine woke up: when the way to the agent is another one, the agent
   * hears of us along it at once, and every flow goes on.
   */
  networkChanged(resumed: boolean): void {
    const path = this.#endpoint.route();
    if (path === this.#path && !resumed) return;
    this.#path = path;
    if (path === null) return this.#options.log.warn("there is no route to the agent now");
    this.#options.log.info("the way to the agent changed; shaking hands", { path, resumed });
    this.#dataplane?.send({ type: "network-changed" });
  }

  async status(): Promise<DataplaneStatus | null> {
    return (await this.#dataplane?.request("status").catch(() => null)) ?? null;
  }

  async flows(): Promise<FlowStatus[]> {
    return (await this.#dataplane?.request("flows")) ?? [];
  }

  /** Why there is no catalog yet. */
  async explain(): Promise<Problem> {
    if (this.problem !== null) return this.problem;
    if (!this.#shookHands) return this.#diagnose();
    return {
      code: "CATALOG_UNAVAILABLE",
      message: `the agent at ${this.endpoint} answers, but its catalog did not arrive: ${this.#lostBecause}`,
      hint: "See the agent's log.",
    };
  }

  /** Tries until it works. Never rejects. */
  async #spawnAfter(delayMs: number): Promise<void> {
    await this.#pause(delayMs);
    for (; !this.#stopping.signal.aborted; await this.#pause(SPAWN_RETRY_MS)) {
      try {
        return await this.#spawn();
      } catch (error) {
        this.#options.log.error("cannot start the data plane; trying again", { error });
      }
    }
  }

  async #spawn(): Promise<void> {
    const { controlSocketPath, uapiSocketPath, tun, entry } = this.#options;
    // A killed predecessor could not remove them.
    await rm(controlSocketPath, { force: true });
    if (uapiSocketPath !== undefined) await rm(uapiSocketPath, { force: true });
    if (this.#stopping.signal.aborted) return;
    this.#delay.started(performance.now());
    this.#path = this.#endpoint.route();
    const child = this.#ahead ?? spawnDataplane([tun.fd], entry);
    this.#ahead = undefined;
    this.#dataplane = new DataplaneProcess(child, {
      onMessage: message => this.#takeMessage(message),
      onExit: exit => this.#dataplaneGone(exit),
    });
    this.#dataplane.send(startMessage(this.#options, this.space.credential, this.#endpoint.current));
    this.#dataplane.send({ type: "routes", routes: this.#routes });
  }

  #dataplaneGone(exit: DataplaneExit): void {
    this.#dataplane = null;
    this.#client.stop();
    this.link = "connecting";
    if (this.#stopping.signal.aborted) return;
    const delayMs = this.#delay.died(performance.now());
    this.restarts++;
    this.#options.log.warn("the data plane died; starting it again", { ...exit, delayMs });
    this.#options.onChange();
    void this.#spawnAfter(delayMs);
  }

  #takeMessage(message: FromDataplane): void {
    const { log } = this.#options;
    if (message.type === "ready") {
      log.debug("data plane ready", { port: message.listenPort });
      this.#client.start();
    } else if (message.type === "failed") {
      const { code, message: text, hint } = message;
      this.failure = { code, message: text, ...(hint === undefined ? {} : { hint }) };
      this.#setProblem(this.failure);
      if (code === "TUN_GONE") this.#options.onDeviceGone();
    } else if (message.type === "handshake") {
      // The agent judges by this clock: WireGuard's timestamps must grow.
      this.space.lastHandshakeAt = Date.now();
      this.#shookHands = true;
      if (this.problem !== null) {
        this.problem = null;
        this.#options.onChange();
      }
    } else if (message.type === "moved") {
      log.info("moved to another replica of the agent");
      this.#client.start();
    } else if (message.type === "handshake-timeout") {
      if (this.#limiter.allow(performance.now())) void this.#handshakeTimedOut();
    } else if (message.type === "denied") {
      const { name, protocol, destination, omitted } = message;
      const left = omitted === 0 ? {} : { omitted };
      if (this.#limiter.allow(performance.now()))
        log.warn("not allowed by policy", { service: name, protocol, destination, ...left });
    } else if (message.type === "log" && this.#limiter.allow(performance.now())) {
      const count = this.#limiter.takeRefused();
      if (count > 0) log.warn("reports of the data plane left out", { count });
      log[message.level](`data plane: ${message.message}`, message.fields);
    }
  }

  async #handshakeTimedOut(): Promise<void> {
    // Whoever was shown the door needs no other reason for the silence behind it.
    if (this.problem?.code !== "DEVICE_REVOKED") this.#setProblem(await this.#diagnose());
    const changed = await this.#endpoint.advance();
    if (changed)
      this.#dataplane?.send({
        type: "peers",
        set: [agentPeer(this.space.credential, this.#endpoint.current)],
      });
  }

  /** What is wrong right now, by looking. */
  #diagnose(): Promise<Problem> {
    return this.#endpoint.diagnose(this.space.lastHandshakeAt, Date.now());
  }

  /** Returns why the stream is to be ended, if it is. */
  #takeEvent(event: CatalogEvent): string | undefined {
    this.catalogHeardAt = performance.now();
    if (event.type === "ping") return undefined;
    if (event.type === "draining") {
      this.#options.log.debug("the agent's replica is about to stop");
      this.#dataplane?.send({ type: "move" });
      return undefined;
    }
    if (isTooMany(event, this.catalog)) {
      const message = `the agent tells of more than ${SERVICES_MAX} services`;
      this.#setProblem({
        code: "CATALOG_TOO_LARGE",
        message,
        hint: "Ask whoever runs the Teamspace to grant this device fewer of them.",
      });
      return message;
    }
    if (event.type === "snapshot") {
      const { zone, teamspace, agentVersion } = event;
      this.teamspace = { teamspace, agentVersion };
      const invited = this.space.credential.zone;
      if (zone !== invited) {
        // The zone is what we take from the system's names, so it is settled by the invitation alone.
        this.#options.log.warn("the agent tells another zone than the credential, which counts", {
          zone,
          invited,
        });
      }
      this.link = "connected";
      this.problem = null;
      this.#delay.worked();
    }
    if (event.type === "revoked") {
      this.#setProblem({
        code: "DEVICE_REVOKED",
        message: `the agent has revoked this device ("${this.space.credential.device}")`,
        hint: "Ask whoever runs the Teamspace for a new credential, then `czctl space add` it.",
      });
    }
    this.catalog.apply(event);
    this.#options.onChange();
    return undefined;
  }

  #lostCatalog(reason: string): void {
    if (this.link === "connected") this.#options.log.warn("lost the agent's catalog stream", { reason });
    this.link = "connecting";
    this.#lostBecause = reason;
    this.#options.onChange();
  }

  #setProblem(problem: Problem): void {
    if (problem.message !== this.problem?.message)
      this.#options.log.warn(problem.message, { code: problem.code });
    this.problem = problem;
    this.#options.onChange();
  }

  async #pause(delayMs: number): Promise<void> {
    await sleep(delayMs, undefined, { signal: this.#stopping.signal }).catch(() => {});
  }
}
