/**
 * The running agent: joins devices, policy, discovery, control API and data plane. Holds no privilege. All
 * state that changes is here: devices, grants and the exposed catalog.
 *
 *     peers.json,
 *     policy.yaml ─┐                     ┌──► data plane   start, peers, targets
 *                  ├─► devices, exposure ┤
 *     discovery ───┘                     └──► control API  each device's catalog
 */
import type { Server } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";
import type { FromDataplane, PeerConfig, ToDataplane, Tuning } from "../api/index.js";
import { CONTROL_PORT } from "../api/index.js";
import { CzctlError, formatEndpoint, type Logger } from "../base/index.js";
import { type Measured, type MetricsEndpoint, serveMetrics } from "../telemetry/index.js";
import { startAdmin } from "./admin.js";
import { AgentEvents } from "./agent-events.js";
import type { Teamspace } from "./catalog-view.js";
import { ControlApi } from "./control-api.js";
import { DataplaneKeeper } from "./dataplane-keeper.js";
import type { Discovery } from "./discovery/discovery.js";
import { FileWatch } from "./file-watch.js";
import { LastEndpoints } from "./last-endpoints.js";
import { agentMetrics } from "./metrics.js";
import { type Device, Exposure, type Grants, readDevices, sameGrants } from "./policy.js";
import { policyPath, readPolicy } from "./policy-file.js";
import type { AgentSockets } from "./sockets.js";
import { type AgentConfig, peersPath, readPeers } from "./state.js";
import { type Exposed, exposeServices } from "./target-addresses.js";
import { agentAddresses, INNER_MTU, tunnelPrefixes } from "./tunnel.js";
import { removeUapiSocket, uapiSocketPath } from "./uapi-socket.js";

/** Allows nothing: no message names it. */
const NO_GRANT = "";
/** Between a revoked device's last access and its last packet: time to be told, through the tunnel. */
const REVOKE_NOTICE_MS = 250;
const DRAIN_POLL_MS = 100;
/**
 * A pod hears that it is to stop before the last kube-proxy does, and who is sent here once comes back here for as long
 * as the connection tracking remembers.
 */
const SETTLE_MS = 2_000;
const MOVE_LIMIT_MS = 7_000;

export interface AgentOptions {
  dir: string;
  config: AgentConfig;
  sockets: AgentSockets;
  discovery: Discovery;
  log: Logger;
  version: string;
  tuning: Tuning;
  /** Script to run as data plane (tests). */
  dataplaneEntry?: string;
  /** Whether devices are called, after a start, where they were last heard; not when another replica may have them. */
  callsDevices: boolean;
  /** Where /metrics, /healthz and /readyz are served. */
  metrics?: MetricsEndpoint;
}

export class Agent {
  readonly #options: AgentOptions;
  readonly #teamspace: Teamspace;
  readonly #keeper: DataplaneKeeper;
  readonly #events: AgentEvents;
  readonly #endpoints: LastEndpoints;
  readonly #uapiPath: string | null;
  #devices: ReadonlyMap<string, Device> = new Map();
  #grants: Grants = new Map();
  #exposed: Exposed = { targets: [], services: [] };
  #exposure: Exposure;
  /** A policy is in force. */
  #restricted = false;
  #catalogChangedAt = 0;
  #ready = false;
  #admin: Server | undefined;
  #metrics: Server | undefined;
  #control: ControlApi | undefined;
  #watches: FileWatch[] = [];
  #starting: Promise<void> | undefined;
  /** The one reload under way, and those behind it. */
  #reloading: Promise<void> = Promise.resolve();

  constructor(options: AgentOptions) {
    const { config, log, version, dataplaneEntry } = options;
    this.#options = options;
    this.#teamspace = { zone: config.zone, teamspace: config.teamspace, agentVersion: version };
    this.#exposure = new Exposure(this.#exposed, this.#grants, this.#teamspace);
    this.#endpoints = new LastEndpoints(options.dir, log);
    this.#uapiPath = uapiSocketPath(config.listenPort);
    this.#events = new AgentEvents(log, publicKey => this.#devices.get(publicKey)?.record);
    this.#keeper = new DataplaneKeeper({
      log,
      opening: () => [this.#startMessage(), this.#exposure.message()],
      onMessage: message => this.#takeMessage(message),
      ...(dataplaneEntry === undefined ? {} : { entry: dataplaneEntry }),
    });
  }

  /** Resolves when devices can connect; throws CzctlError when that cannot be. */
  start(): Promise<void> {
    this.#starting = this.#start();
    return this.#starting;
  }

  async #start(): Promise<void> {
    const { dir, sockets, discovery, log, config } = this.#options;
    // The door opens before peers.json is read: a command that finds no door has written before the reading.
    let opened: () => void = () => {};
    const open = new Promise<void>(resolve => {
      opened = resolve;
    });
    this.#admin = await startAdmin(sockets.adminPath, {
      reload: () => open.then(() => this.#reload()).then(() => this.#confirm()),
      status: () => open.then(() => this.#keeper.status()),
    });
    this.#watches = [peersPath(dir), policyPath(dir)].map(
      path =>
        new FileWatch(path, () => {
          this.#reload().catch((error: Error) =>
            log.error(`${error.message}; the last good peers stand, and their grants`),
          );
        }),
    );
    const { metrics } = this.#options;
    if (metrics !== undefined) this.#metrics = await serveMetrics(metrics, () => this.#measure());
    await this.#endpoints.load();
    this.#takeDevices(await this.#readState());
    await discovery.start(services => {
      this.#exposed = exposeServices(services, tunnelPrefixes(config).v6);
      this.#catalogChangedAt = Date.now();
      this.#expose();
      log.info("catalog", { services: services.length, targets: this.#exposed.targets.length });
    });
    this.#control = await ControlApi.listen({
      socketPath: sockets.controlPath,
      log,
      viewOf: publicKey => {
        const device = this.#devices.get(publicKey);
        return device === undefined ? null : this.#exposure.view(device.grant);
      },
    });
    await this.#keeper.start();
    this.#ready = true;
    opened();
    log.info("agent runs", {
      teamspace: config.teamspace,
      endpoint: config.endpoint,
      devices: this.#devices.size,
    });
  }

  /**
   * Devices are sent to other replicas, and their open flows have so long to end here. Ready all the while: a
   * Service that took the pod out would send those flows' datagrams elsewhere too, and a terminating pod gets no
   * new devices anyway.
   */
  async drain(limitMs: number): Promise<void> {
    const startedAt = performance.now();
    this.#options.log.info("agent drains", { limitMs });
    let told = false;
    for (let tookMs = 0; tookMs < limitMs; tookMs = performance.now() - startedAt) {
      const flows = (await this.#keeper.status().catch(() => null))?.flows;
      if (flows === undefined) return;
      // A device without flows is waited for too, but not for long: there may be no other replica.
      const moved = this.#control?.listeners === 0 || tookMs > MOVE_LIMIT_MS;
      if (flows.tcp + flows.udp === 0 && moved) return;
      if (!told && tookMs >= SETTLE_MS) {
        told = true;
        this.#keeper.send({ type: "drain" });
        this.#control?.drain();
      }
      await sleep(DRAIN_POLL_MS);
    }
  }

  async stop(): Promise<void> {
    this.#ready = false;
    await this.#keeper.stop();
    if (this.#uapiPath !== null) await removeUapiSocket(this.#uapiPath);
    // Whatever was still being opened is open or has failed now, and can be closed.
    await this.#starting?.catch(() => {});
    for (const watch of this.#watches) watch.stop();
    this.#options.discovery.stop();
    await this.#control?.close();
    await this.#endpoints.close();
    this.#metrics?.close();
    this.#metrics?.closeAllConnections();
    this.#admin?.close();
    this.#admin?.closeAllConnections();
  }

  async #readState(): Promise<ReturnType<typeof readDevices>> {
    const { dir } = this.#options;
    const policy = await readPolicy(dir);
    // An editor that saves by another name, or a hand that slipped, must not open everything.
    if (policy === null && this.#restricted) {
      throw new CzctlError(`${policyPath(dir)} is gone`, {
        code: "POLICY_GONE",
        category: "config",
        hint: "Put it back, or start the agent anew to run without one.",
      });
    }
    const state = readDevices(await readPeers(dir), policy);
    this.#restricted = policy !== null;
    return state;
  }

  /** Takes up peers.json and policy.yaml. Calls line up, and each sees the file as it was when called or newer. */
  #reload(): Promise<void> {
    const reload = this.#reloading.then(async () => {
      this.#takeDevices(await this.#readState());
    });
    this.#reloading = reload.catch(() => {});
    return reload;
  }

  /** The data plane works through its messages in order, so an answer comes after what was sent before. */
  async #confirm(): Promise<void> {
    // One that dies over it is followed by one that starts with the new state.
    await this.#keeper.status().catch(() => this.#keeper.status());
  }

  async #measure(): Promise<Measured> {
    // A probe before the start must not wait for it.
    const dataplane = this.#ready ? await this.#keeper.status().catch(() => null) : null;
    const figures = {
      version: this.#options.version,
      ready: this.#ready,
      devices: this.#devices.size,
      services: this.#exposed.services.length,
      catalogChangedAt: this.#catalogChangedAt,
      staleSince: this.#options.discovery.staleSince,
      dataplane,
    };
    return { ready: this.#ready && dataplane !== null, metrics: agentMetrics(figures, Date.now()) };
  }

  #takeMessage(message: FromDataplane): void {
    if (message.type !== "endpoint") this.#events.handle(message);
    // Revoked while the report was under way: not to be remembered.
    else if (this.#devices.has(message.publicKey)) this.#endpoints.set(message.publicKey, message.endpoint);
  }

  #takeDevices({ devices, grants }: { devices: ReadonlyMap<string, Device>; grants: Grants }): void {
    const before = this.#devices;
    const remove = [...before.keys()].filter(publicKey => !devices.has(publicKey));
    const set = [...devices.values()].filter(
      device => !sameDevice(before.get(device.record.publicKey), device),
    );
    this.#devices = devices;
    // A device may only name a grant that the data plane knows, so: gone devices, grants, new devices.
    if (remove.length > 0) this.#revoke(remove.flatMap(publicKey => before.get(publicKey) ?? []));
    if (!sameGrants(grants, this.#grants)) {
      this.#grants = grants;
      this.#expose();
    }
    if (set.length > 0) this.#keeper.send({ type: "peers", set: set.map(peerConfig) });
    this.#control?.sync();
    for (const publicKey of remove) {
      this.#events.forget(publicKey);
      this.#endpoints.delete(publicKey);
      this.#options.log.info("device revoked", { device: before.get(publicKey)?.record.name });
    }
  }

  /** Their flows are reset at once; their keys follow when they have been told. */
  #revoke(devices: readonly Device[]): void {
    this.#keeper.send({
      type: "peers",
      set: devices.map(device => peerConfig({ ...device, grant: NO_GRANT })),
    });
    setTimeout(() => {
      const gone = devices.map(device => device.record.publicKey);
      const remove = gone.filter(publicKey => !this.#devices.has(publicKey));
      if (remove.length > 0) this.#keeper.send({ type: "peers", remove });
    }, REVOKE_NOTICE_MS).unref();
  }

  #expose(): void {
    this.#exposure = new Exposure(this.#exposed, this.#grants, this.#teamspace);
    this.#keeper.send(this.#exposure.message());
    this.#control?.sync();
  }

  #startMessage(): ToDataplane {
    const { config, sockets, tuning, callsDevices } = this.#options;
    const inner = agentAddresses(tunnelPrefixes(config));
    return {
      type: "start",
      role: "agent",
      privateKey: config.privateKey,
      innerAddresses: inner.map(String),
      mtu: INNER_MTU,
      listenPort: config.listenPort,
      peers: [...this.#devices.values()].map(device => {
        const endpoint = callsDevices ? this.#endpoints.get(device.record.publicKey) : undefined;
        return { ...peerConfig(device), ...(endpoint === undefined ? {} : { endpoint }) };
      }),
      control: {
        socketPath: sockets.controlPath,
        remote: formatEndpoint({ address: inner[0], port: CONTROL_PORT }),
      },
      ...(this.#uapiPath === null ? {} : { uapiSocketPath: this.#uapiPath }),
      tuning,
    };
  }
}

function peerConfig({ record, grant }: Device): PeerConfig {
  const [v4, v6] = record.addresses;
  return {
    publicKey: record.publicKey,
    presharedKey: record.presharedKey,
    allowedIps: [`${v4}/32`, `${v6}/128`],
    name: record.name,
    grant,
  };
}

function sameDevice(a: Device | undefined, b: Device): boolean {
  return a !== undefined && JSON.stringify(peerConfig(a)) === JSON.stringify(peerConfig(b));
}
