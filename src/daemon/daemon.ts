/**
 * The daemon: holds the device, the names and one session, and keeps what is in line with what should be.
 *
 * ```
 *   catalog (agent) ─┐
 *   rules, primary   ├─► reconcile() ─► routes (data plane), hosts section, DNS zone, state file
 *   namespace (user) ┘
 * ```
 *
 * One function derives everything from the present state and applies what differs; every change only asks for
 * it to run, so bursts cost one run and no order of events matters.
 */
import type { Server } from "node:http";
import { join } from "node:path";
import { CONTROL_SOCKET, type Problem, type Route, type Settings, type UpSummary } from "../api/index.js";
import { CzctlError, type Logger, Prefix } from "../base/index.js";
import {
  type PlacedService,
  parseRules,
  placeServices,
  VirtualAddresses,
  virtualRoutes,
} from "../catalog/index.js";
import type { ResponderPorts } from "../dns/index.js";
import { type Measured, serveMetrics } from "../telemetry/index.js";
import type { Ahead } from "./ahead.js";
import { type Handlers, serveApi } from "./api-server.js";
import { type DaemonParts, daemonStatus, upSummary } from "./daemon-status.js";
import { type Device, openDevice } from "./device.js";
import { daemonMetrics } from "./metrics.js";
import { Names } from "./names.js";
import { NetworkWatch } from "./network-watch.js";
import { type StateOperation, stateOperations } from "./operations.js";
import { RangeKeeper } from "./range-keeper.js";
import { serviceRows } from "./service-rows.js";
import { Session } from "./session.js";
import { loadState, type State, saveState, selectedSpace } from "./state.js";
import { messageOf, problemError, Warnings } from "./warnings.js";

/** Between two runs of `reconcile`: a burst of catalog changes costs a few runs, and none waits noticeably. */
const RECONCILE_PAUSE_MS = 100;
/** For answers under way when the daemon ends. */
const API_CLOSE_MS = 500;
/** `nobody`: where the data plane's privileges end. */
const UNPRIVILEGED = { uid: 65_534, gid: 65_534 };

export interface DaemonOptions {
  settings: Settings;
  log: Logger;
  /** Script to run instead of the data plane (tests). */
  dataplaneEntry: string | undefined;
  /** What was started before this code was loaded. */
  ahead: Ahead | null;
  /** The process that watches over this one. */
  supervisorPid: number;
  progress(message: string): void;
  /** The TUN device was deleted: only another daemon can have another one. */
  onDeviceGone(): void;
  /** Somebody asked the API to stop; everything is gone already. */
  onStopped(): void;
}

export class Daemon {
  #options: DaemonOptions;
  #state: State;
  #startedAt: number = performance.now();
  #device!: Device;
  #virtual!: VirtualAddresses;
  #names!: Names;
  #responderPorts!: ResponderPorts;
  #session!: Session;
  #network: NetworkWatch | undefined;
  #rangeKeeper: RangeKeeper | undefined;
  /** Ranges of virtual addresses that are or were ours: no agent is in there. */
  #ours: Prefix[] = [];
  /** Routes to old virtual addresses that open flows still use. */
  #oldRoutes: readonly Route[] = [];
  /** The session's credential: another one needs another session. */
  #sessionKey = "";
  #placed: readonly PlacedService[] = [];
  #warnings: Warnings;
  #savedState = "";
  /** `reconcile` has run for this session. */
  #reconciled = false;
  #reconcileTimer: NodeJS.Timeout | undefined;
  #lastReconcileAt = Number.NEGATIVE_INFINITY;
  #watchers = new Set<() => void>();
  #server: Server | undefined;
  #metrics: Server | undefined;
  #stopping: Promise<void> | undefined;
  #leftover: Problem | null = null;
  #ahead: Ahead | null;
  /** Changes of session, one after the other. */
  #switching: Promise<void> = Promise.resolve();

  /** Everything but the connection: that takes its time, see `connected`. Throws CzctlError, leaving nothing. */
  static async start(options: DaemonOptions): Promise<Daemon> {
    const daemon = new Daemon(options);
    try {
      await daemon.#start();
      return daemon;
    } catch (error) {
      await daemon.stop();
      throw error;
    }
  }

  private constructor(options: DaemonOptions) {
    this.#options = options;
    this.#ahead = options.ahead;
    this.#warnings = new Warnings(options.log);
    this.#state = loadState(options.settings.stateDir);
    this.#savedState = JSON.stringify(this.#state);
  }

  async #start(): Promise<void> {
    const { settings, log, progress } = this.#options;
    selectedSpace(this.#state);
    progress("creating the network device");
    this.#device = await openDevice({
      wantedRange: settings.serviceRange,
      lastRange: this.#state.serviceRange,
      ula: this.#state.ula,
      tso: !settings.tuning.disableOffloads.includes("tso"),
      tunFile: this.#ahead?.tunFile,
      log,
    });
    this.#state.serviceRange = this.#device.range.toString();
    this.#ours = [this.#device.range, this.#device.ula];
    this.#names = new Names({
      settings,
      link: this.#device.index,
      log,
      onHostsLost: () => this.#schedule(),
    });
    this.#responderPorts = await this.#names.start();
    this.#server = await serveApi(settings.socketPath, this.#handlers(), log);
    await this.#serveMetrics();
    this.#openSession();
    this.#watchNetwork();
    const { name, range, ula, tso } = this.#device;
    log.info("device ready", { name, range: range.toString(), ula: ula.toString(), tso });
  }

  #openSession(): void {
    const space = selectedSpace(this.#state);
    const { settings, log, dataplaneEntry, progress } = this.#options;
    const { range, ula, fd, mtu, tso, uapiSocketPath } = this.#device;
    this.#sessionKey = JSON.stringify([space.name, space.credential]);
    this.#virtual = new VirtualAddresses(range, ula, space.addresses);
    this.#placed = [];
    this.#reconciled = false;
    const { v4, v6 } = this.#virtual.dns;
    const session = new Session({
      space,
      tun: { fd, mtu, tso },
      dns: { addresses: [v4.toString(), v6.toString()], ...this.#responderPorts },
      ours: this.#ours,
      controlSocketPath: join(settings.stateDir, CONTROL_SOCKET),
      ...(uapiSocketPath === null ? {} : { uapiSocketPath }),
      runAs: UNPRIVILEGED,
      tuning: settings.tuning,
      log,
      onChange: () => this.#schedule(),
      onDeviceGone: () => this.#options.onDeviceGone(),
      ...(dataplaneEntry === undefined ? {} : { entry: dataplaneEntry }),
      ...(this.#ahead === null ? {} : { ahead: this.#ahead.dataplane }),
    });
    this.#ahead = null;
    this.#session = session;
    progress(`connecting to ${session.endpoint}`);
    session.start().catch(error => log.error("cannot start the session", { error }));
    this.#schedule();
  }

  #watchNetwork(): void {
    const { settings, log } = this.#options;
    const keeper = new RangeKeeper({
      device: this.#device,
      fixed: settings.serviceRange !== undefined,
      log,
      flows: () => this.#session.flows().catch(() => []),
      onMoved: () => this.#rangeMoved(),
      onChange: () => this.#schedule(),
    });
    this.#rangeKeeper = keeper;
    let checks = Promise.resolve();
    this.#network = new NetworkWatch(event => {
      if (this.#stopping !== undefined) return;
      this.#session.networkChanged(event === "resumed");
      this.#names.networkChanged();
      checks = checks
        .then(() => keeper.check())
        .catch(error => log.error("cannot follow a change of the network", { error }));
    });
  }

  /** New addresses for everything; what is open at the old ones goes on there. */
  #rangeMoved(): void {
    const { range, ula } = this.#device;
    this.#ours.push(range);
    this.#state.serviceRange = range.toString();
    this.#oldRoutes = [...this.#oldRoutes, ...virtualRoutes(this.#placed)];
    this.#virtual = new VirtualAddresses(range, ula, this.#virtual.toJSON());
    this.#session.setDns(this.#virtual.dns);
    this.#schedule();
  }

  /** Those whose service is still consumed, and still the same. */
  #drainingRoutes(routes: readonly Route[]): Route[] {
    const kept = new Set(this.#rangeKeeper?.kept.map(String));
    this.#oldRoutes = this.#oldRoutes.filter(({ virtual }) => kept.has(virtual));
    return this.#oldRoutes.filter(old =>
      routes.some(({ name, target }) => name === old.name && target === old.target),
    );
  }

  /** Leaves nothing: names, data plane, device with its routes, sockets. Never rejects: see `leftover`. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    const { log } = this.#options;
    clearTimeout(this.#reconcileTimer);
    this.#network?.close();
    this.#rangeKeeper?.close();
    this.#metrics?.close();
    this.#metrics?.closeAllConnections();
    await this.#switching;
    // One that fails keeps none of the others from it.
    await this.#leave("take our section out of the hosts file", () => this.#names?.withdraw());
    await this.#leave("end the session", () => this.#session?.stop());
    await this.#leave("close the device", () => this.#device?.close());
    this.#save();
    log.info("stopped");
  }

  /** On loopback only, and only when asked for. The services matter more: one that cannot be is a warning. */
  async #serveMetrics(): Promise<void> {
    const { metricsPort } = this.#options.settings;
    if (metricsPort === undefined) return;
    const measure = async (): Promise<Measured> => ({
      ready: this.#session?.link === "connected",
      metrics: await this.#metricsText(),
    });
    try {
      this.#metrics = await serveMetrics({ port: metricsPort, address: "127.0.0.1" }, measure);
    } catch (error) {
      this.#warnings.set("metrics", messageOf(error));
    }
  }

  async #metricsText(): Promise<string> {
    const { catalogHeardAt } = this.#session;
    const ageMs = catalogHeardAt === null ? null : performance.now() - catalogHeardAt;
    return daemonMetrics(await daemonStatus(this.#parts), ageMs);
  }

  async #leave(what: string, step: () => Promise<void> | undefined | void): Promise<void> {
    try {
      await step();
    } catch (error) {
      this.#options.log.error(`cannot ${what}`, { error });
      this.#leftover ??= {
        code: "NOT_CLEAN",
        message: `czctl stopped, but could not ${what}: ${messageOf(error)}`,
        hint: "Run `sudo czctl cleanup`.",
      };
    }
  }

  /** What `stop` could not undo. */
  get leftover(): Problem | null {
    return this.#leftover;
  }

  /** Ends the API after the answers under way. */
  async closeApi(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    await new Promise<void>(resolve => {
      server.close(() => resolve());
      server.closeIdleConnections();
      // A request that never ends keeps nothing alive.
      setTimeout(() => server.closeAllConnections(), API_CLOSE_MS);
    });
  }

  /** Resolves when the first catalog is in use; rejects with the reason when it is not in time. */
  async connected(timeoutMs: number): Promise<UpSummary> {
    const until = performance.now() + timeoutMs;
    for (;;) {
      const { link, failure } = this.#session;
      if (failure !== null) throw problemError(failure);
      if (link === "connected" && this.#reconciled) return upSummary(this.#parts);
      const restMs = until - performance.now();
      if (restMs <= 0) throw problemError(await this.#session.explain());
      await this.#nextChange(restMs);
    }
  }

  #nextChange(timeoutMs: number): Promise<void> {
    return new Promise(resolve => {
      const wake = (): void => {
        clearTimeout(timer);
        this.#watchers.delete(wake);
        resolve();
      };
      const timer = setTimeout(wake, timeoutMs);
      this.#watchers.add(wake);
    });
  }

  #schedule(): void {
    if (this.#stopping !== undefined || this.#reconcileTimer !== undefined) return;
    const waitMs = this.#lastReconcileAt + RECONCILE_PAUSE_MS - performance.now();
    this.#reconcileTimer = setTimeout(
      () => {
        this.#reconcileTimer = undefined;
        this.#reconcile();
        // The first catalog is not kept waiting for the run without one.
        if (this.#session.catalog.synced) this.#lastReconcileAt = performance.now();
        for (const wake of [...this.#watchers]) wake();
      },
      Math.max(0, waitMs),
    );
  }

  /** Desired state → actual state. */
  #reconcile(): void {
    const session = this.#session;
    const { space, catalog } = session;
    const { credential, primaryNamespace } = space;
    // Addresses that the agent made up for services are in its own /64.
    const madeUp = Prefix.from(`${credential.agent.innerAddresses[1]}/64`);
    const { rules } = parseRules(space.rules);
    const { placed, unplaced } = placeServices(catalog.services, rules, this.#virtual, madeUp);
    this.#placed = placed;
    this.#warnings.set(
      "range",
      unplaced.length === 0 ? null : `the service range is full: ${unplaced.length} services have no address`,
    );
    const routes = virtualRoutes(placed);
    session.setRoutes([...routes, ...this.#drainingRoutes(routes)]);
    this.#warnings.set("routes", this.#rangeKeeper?.warning ?? null);
    session.setDns(this.#virtual.dns);
    try {
      this.#names.publish({
        services: catalog.synced ? placed : null,
        domain: credential.zone,
        primaryNamespace,
        ranges: [this.#device.range, this.#device.ula],
        server: this.#virtual.dns.v4,
      });
      this.#warnings.set("hosts", null);
    } catch (error) {
      this.#warnings.set("hosts", `names are not in the hosts file: ${messageOf(error)}`);
    }
    this.#reconciled = true;
    space.addresses = this.#virtual.toJSON();
    this.#save();
  }

  #save(): void {
    const text = JSON.stringify(this.#state);
    if (text === this.#savedState) return;
    try {
      saveState(this.#options.settings.stateDir, this.#state);
      this.#savedState = text;
      this.#warnings.set("state", null);
    } catch (error) {
      this.#warnings.set("state", `cannot save the state: ${messageOf(error)}`);
    }
  }

  #handlers(): Handlers {
    return {
      status: () => daemonStatus(this.#parts),
      services: ({ endpoints }) =>
        serviceRows(this.#session.catalog.services, this.#placed, endpoints === true),
      flows: () => this.#session.flows(),
      metrics: async () => ({ text: await this.#metricsText() }),
      stop: async () => {
        await this.stop();
        this.#options.onStopped();
        return { problem: this.#leftover };
      },
      "space.add": request => this.#change("space.add", request),
      "space.list": request => this.#change("space.list", request),
      "space.select": request => this.#change("space.select", request),
      "space.remove": request => {
        // The session is still the former one's while it is being switched.
        if (request.name === this.#session.space.name || request.name === this.#state.selected) {
          throw new CzctlError(`the space "${request.name}" is in use`, {
            code: "SPACE_IN_USE",
            category: "user",
            hint: "Select another one, or run `czctl down` first.",
          });
        }
        return this.#change("space.remove", request);
      },
      "consume.get": request => this.#change("consume.get", request),
      "consume.set": request => this.#change("consume.set", request),
      "primary-namespace.set": request => this.#change("primary-namespace.set", request),
    };
  }

  async #change<Name extends StateOperation>(
    name: Name,
    request: Parameters<(typeof stateOperations)[Name]>[1],
  ): Promise<ReturnType<(typeof stateOperations)[Name]>> {
    const response = stateOperations[name](this.#state, request as never);
    this.#save();
    const { name: space, credential } = selectedSpace(this.#state);
    if (JSON.stringify([space, credential]) === this.#sessionKey) {
      this.#schedule();
    } else {
      const switching = this.#switching.then(() => this.#switchSession());
      // The next change, and `stop`, go on after one that failed.
      this.#switching = switching.catch(error => this.#options.log.error("cannot switch", { error }));
      await switching;
    }
    return response as ReturnType<(typeof stateOperations)[Name]>;
  }

  async #switchSession(): Promise<void> {
    await this.#session.stop();
    if (this.#stopping === undefined) this.#openSession();
  }

  get #parts(): DaemonParts {
    const { settings, supervisorPid } = this.#options;
    return {
      supervisorPid,
      startedAt: this.#startedAt,
      session: this.#session,
      device: this.#device,
      virtual: this.#virtual,
      placed: this.#placed,
      warnings: this.#warnings.texts,
      hostsFile: settings.hostsFile,
      resolved: this.#names.resolved,
    };
  }
}
