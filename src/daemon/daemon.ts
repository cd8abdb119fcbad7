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
import { CONTROL_SOCKET, type Problem, type Settings, type UpSummary } from "../api/index.js";
import { CzctlError, type Logger } from "../base/index.js";
import type { ResponderPorts } from "../dns/index.js";
import { Addressing } from "./addressing.js";
import type { Ahead } from "./ahead.js";
import { closeApi, type Handlers, serveApi } from "./api-server.js";
import { type DaemonParts, daemonStatus, upSummary } from "./daemon-status.js";
import { type Device, openDevice } from "./device.js";
import { Leaving } from "./leaving.js";
import { DaemonMetrics } from "./metrics.js";
import { Names } from "./names.js";
import { NetworkWatch } from "./network-watch.js";
import { type StateOperation, stateOperations } from "./operations.js";
import { Pace } from "./pace.js";
import { RangeKeeper } from "./range-keeper.js";
import { serviceRows } from "./service-rows.js";
import { Session } from "./session.js";
import { StateFile, selectedSpace } from "./state.js";
import { messageOf, problemError, Warnings } from "./warnings.js";

/** Between two runs of `reconcile`: a burst of catalog changes costs a few runs, and none waits noticeably. */
const RECONCILE_PAUSE_MS = 100;
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
  readonly #file: StateFile;
  #startedAt: number = performance.now();
  #device!: Device;
  #addressing!: Addressing;
  #names!: Names;
  #responderPorts!: ResponderPorts;
  #session!: Session;
  #network: NetworkWatch | undefined;
  #rangeKeeper: RangeKeeper | undefined;
  /** The session's credential: another one needs another session. */
  #sessionKey = "";
  #warnings: Warnings;
  /** `reconcile` has run for this session. */
  #reconciled = false;
  readonly #pace: Pace = new Pace(RECONCILE_PAUSE_MS, () => {
    this.#reconcile();
    // The first catalog is not kept waiting for the run without one.
    return this.#session.catalog.synced;
  });
  #server: Server | undefined;
  readonly #metrics: DaemonMetrics = new DaemonMetrics(() => this.#parts);
  #stopping: Promise<void> | undefined;
  readonly #leaving: Leaving;
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
    this.#leaving = new Leaving(options.log);
    this.#file = new StateFile(options.settings.stateDir);
  }

  async #start(): Promise<void> {
    const { settings, log, progress } = this.#options;
    selectedSpace(this.#file.state);
    progress("creating the network device");
    this.#device = await openDevice({
      wantedRange: settings.serviceRange,
      lastRange: this.#file.state.serviceRange,
      ula: this.#file.state.ula,
      tso: !settings.tuning.disableOffloads.includes("tso"),
      tunFile: this.#ahead?.tunFile,
      log,
    });
    this.#file.state.serviceRange = this.#device.range.toString();
    this.#addressing = new Addressing(this.#device);
    this.#names = new Names({
      settings,
      link: this.#device.index,
      log,
      onHostsLost: () => this.#pace.ask(),
    });
    this.#responderPorts = await this.#names.start();
    this.#server = await serveApi(settings.socketPath, this.#handlers(), log);
    if (settings.metricsPort !== undefined) {
      // The services matter more.
      const failed = (error: unknown): void => this.#warnings.set("metrics", messageOf(error));
      await this.#metrics.serve(settings.metricsPort).catch(failed);
    }
    this.#openSession();
    this.#watchNetwork();
    const { name, range, ula, tso } = this.#device;
    log.info("device ready", { name, range: range.toString(), ula: ula.toString(), tso });
  }

  #openSession(): void {
    const space = selectedSpace(this.#file.state);
    const { settings, log, dataplaneEntry, progress } = this.#options;
    const { fd, mtu, tso, uapiSocketPath } = this.#device;
    this.#sessionKey = JSON.stringify([space.name, space.credential]);
    this.#addressing.open(space);
    this.#reconciled = false;
    const { v4, v6 } = this.#addressing.virtual.dns;
    const session = new Session({
      space,
      tun: { fd, mtu, tso },
      dns: { addresses: [v4.toString(), v6.toString()], ...this.#responderPorts },
      ours: this.#addressing.ours,
      controlSocketPath: join(settings.stateDir, CONTROL_SOCKET),
      ...(uapiSocketPath === null ? {} : { uapiSocketPath }),
      runAs: UNPRIVILEGED,
      tuning: settings.tuning,
      log,
      onChange: () => this.#pace.ask(),
      onDeviceGone: () => this.#options.onDeviceGone(),
      ...(dataplaneEntry === undefined ? {} : { entry: dataplaneEntry }),
      ...(this.#ahead === null ? {} : { ahead: this.#ahead.dataplane }),
    });
    this.#ahead = null;
    this.#session = session;
    progress(`connecting to ${session.endpoint}`);
    session.start().catch(error => log.error("cannot start the session", { error }));
    this.#pace.ask();
  }

  #watchNetwork(): void {
    const { settings, log } = this.#options;
    const keeper = new RangeKeeper({
      device: this.#device,
      fixed: settings.serviceRange !== undefined,
      log,
      flows: () => this.#session.flows().catch(() => []),
      onMoved: () => this.#rangeMoved(),
      onChange: () => this.#pace.ask(),
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

  #rangeMoved(): void {
    this.#file.state.serviceRange = this.#device.range.toString();
    this.#addressing.rangeMoved();
    this.#session.setDns(this.#addressing.virtual.dns);
    this.#pace.ask();
  }

  /** Leaves nothing: names, data plane, device with its routes, sockets. Never rejects: see `leftover`. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    const { log } = this.#options;
    this.#pace.stop();
    this.#network?.close();
    this.#rangeKeeper?.close();
    this.#metrics.close();
    await this.#switching;
    await this.#leaving.step("take our section out of the hosts file", () => this.#names?.withdraw());
    await this.#leaving.step("end the session", () => this.#session?.stop());
    await this.#leaving.step("close the device", () => this.#device?.close());
    this.#save();
    log.info("stopped");
  }

  /** What `stop` could not undo. */
  get leftover(): Problem | null {
    return this.#leaving.leftover;
  }

  /** Ends the API after the answers under way. */
  async closeApi(): Promise<void> {
    if (this.#server !== undefined) await closeApi(this.#server);
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
      await this.#pace.next(restMs);
    }
  }

  /** Desired state → actual state. */
  #reconcile(): void {
    const session = this.#session;
    const { space, catalog } = session;
    const { credential, primaryNamespace } = space;
    const addressing = this.#addressing;
    const unplaced = addressing.place(catalog.services, space);
    this.#warnings.set(
      "range",
      unplaced === 0 ? null : `the service range is full: ${unplaced} services have no address`,
    );
    session.setRoutes(addressing.routes(this.#rangeKeeper?.kept ?? []));
    this.#warnings.set("routes", this.#rangeKeeper?.warning ?? null);
    session.setDns(addressing.virtual.dns);
    try {
      this.#names.publish({
        services: catalog.synced ? addressing.placed : null,
        domain: credential.zone,
        primaryNamespace,
        ranges: [this.#device.range, this.#device.ula],
        server: addressing.virtual.dns.v4,
      });
      this.#warnings.set("hosts", null);
    } catch (error) {
      this.#warnings.set("hosts", `names are not in the hosts file: ${messageOf(error)}`);
    }
    this.#reconciled = true;
    space.addresses = addressing.virtual.toJSON();
    this.#save();
  }

  #save(): void {
    try {
      this.#file.save();
      this.#warnings.set("state", null);
    } catch (error) {
      this.#warnings.set("state", `cannot save the state: ${messageOf(error)}`);
    }
  }

  #handlers(): Handlers {
    return {
      status: () => daemonStatus(this.#parts),
      services: ({ endpoints }) =>
        serviceRows(this.#session.catalog.services, this.#addressing.placed, endpoints === true),
      flows: () => this.#session.flows(),
      metrics: async () => ({ text: await this.#metrics.text() }),
      stop: async () => {
        await this.stop();
        this.#options.onStopped();
        return { problem: this.#leaving.leftover };
      },
      "space.add": request => this.#change("space.add", request),
      "space.list": request => this.#change("space.list", request),
      "space.select": request => this.#change("space.select", request),
      "space.remove": request => {
        // The session is still the former one's while it is being switched.
        if (request.name === this.#session.space.name || request.name === this.#file.state.selected) {
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
    const response = stateOperations[name](this.#file.state, request as never);
    this.#save();
    const { name: space, credential } = selectedSpace(this.#file.state);
    if (JSON.stringify([space, credential]) === this.#sessionKey) {
      this.#pace.ask();
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
      virtual: this.#addressing.virtual,
      placed: this.#addressing.placed,
      warnings: this.#warnings.texts,
      hostsFile: settings.hostsFile,
      resolved: this.#names.resolved,
    };
  }
}
