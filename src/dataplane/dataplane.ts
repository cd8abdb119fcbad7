/**
 * One data plane process: its memory and its loop, and the control process at the other end of the socket, whose first
 * message makes everything else (running.ts).
 */
import type { DataplaneStatus, FromDataplane, ToDataplane } from "../api/index.js";
import { Address, BlockPool, CzctlError, ENDPOINT_BYTES } from "../base/index.js";
import { type CryptoChoice, createCrypto } from "../crypto/index.js";
import {
  createArena,
  dropPrivileges,
  hasCpuQuota,
  Poller,
  ThreadPlacement,
  threadCpuMs,
} from "../linux/index.js";
import { useNativeStrided } from "../machine/index.js";
import type { Context } from "./context.js";
import { DialLimit } from "./dial-limit.js";
import { LineChannel } from "./line-channel.js";
import { Linger } from "./linger.js";
import { Loop } from "./loop.js";
import { Running, type Start } from "./running.js";
import { StayPut } from "./stay-put.js";
import { StreamQueue } from "./stream-queue.js";
import { Tidier } from "./tidier.js";
import { V8Heap } from "./v8-heap.js";

/** Virtual size; pages become resident as they are used. */
const ARENA_BYTES = 512 << 20;
const PACKET_AREA_BYTES = 4 << 20;
/** Longest text that the control process takes in a message. */
const MESSAGE_CHARS = 1_000;

export class Dataplane {
  private readonly arena = createArena(ARENA_BYTES);
  private readonly loop: Loop;
  private readonly control: LineChannel;
  private readonly context: Context;
  private readonly lineBuffer: number;
  /** Made while the control process loads: it takes as long as all the rest. */
  private readonly crypto: CryptoChoice;
  private readonly startedAt: number = performance.now();
  private running: Running | null = null;

  /** @param controlFd stream socket to the control process */
  constructor(controlFd: number) {
    const { arena } = this;
    const poller = new Poller(arena);
    this.loop = new Loop(poller, hasCpuQuota() ? poller : new Linger(poller));
    this.lineBuffer = arena.reserve(LineChannel.BUFFER_BYTES);
    const scratchEndpoint = arena.reserve(ENDPOINT_BYTES);
    const scratchDatagram = arena.reserve(65_536);
    const packetArea = PACKET_AREA_BYTES;
    const poolBytes = arena.available - packetArea;
    const pool = new BlockPool(arena.reserve(poolBytes), poolBytes);
    const streams = new StreamQueue();
    const dials = new DialLimit();
    const tell = (message: FromDataplane) => this.control.write(`${JSON.stringify(message)}\n`);
    this.context = { arena, pool, loop: this.loop, streams, dials, scratchEndpoint, scratchDatagram, tell };
    this.control = new LineChannel({ arena, loop: this.loop }, controlFd, this.lineBuffer, {
      onLine: line => this.receive(JSON.parse(line) as ToDataplane),
      onEnd: () => this.loop.stop(),
    });
    this.loop.addMachine(dials);
    this.loop.addMachine(streams);
    this.loop.addMachine(new StayPut(new ThreadPlacement(), threadCpuMs));
    this.loop.addMachine(new Tidier(arena, pool, new V8Heap()));
    this.crypto = createCrypto(arena);
    useNativeStrided(arena);
  }

  run(): void {
    this.loop.run();
  }

  private receive(message: ToDataplane): void {
    const { running } = this;
    switch (message.type) {
      case "start":
        return this.start(message);
      case "stop":
        running?.peers.sayGoodbye();
        return this.loop.stop();
      case "peers":
        running?.peers.remove(message.remove ?? []);
        return running?.peers.set(message.set ?? []);
      case "routes":
        return running?.laptop?.setRoutes(message.routes);
      case "dns":
        return running?.laptop?.setDns(message.addresses.map(Address.from));
      case "network-changed":
        return running?.peers.networkChanged();
      case "move":
        return running?.peers.handover.move(this.loop.now);
      case "drain":
        return running?.peers.device.drain();
      case "targets":
        return running?.agent?.setTargets(message.targets, message.grants);
      case "flows":
        return this.context.tell({ type: "flows", id: message.id, flows: running?.flows() ?? [] });
      case "status":
        if (running === null) return;
        return this.context.tell({ type: "status", id: message.id, status: this.status(running) });
    }
  }

  private start(message: Start): void {
    try {
      this.running = new Running(this.context, this.lineBuffer, this.crypto, message);
      this.dropPrivileges(message);
    } catch (error) {
      const known = error instanceof CzctlError ? error : null;
      this.context.tell({
        type: "failed",
        code: known?.code ?? "DATAPLANE_START",
        message: (known?.message ?? `the data plane could not start: ${String(error)}`).slice(
          0,
          MESSAGE_CHARS,
        ),
        ...(known?.hint === undefined ? {} : { hint: known.hint }),
      });
      this.loop.stop();
      return;
    }
    this.context.tell({ type: "ready", listenPort: this.running.peers.listenPort });
  }

  private dropPrivileges({ runAs }: Start): void {
    const { userChanged, capableThreads } = dropPrivileges(runAs);
    if (capableThreads === 0 && (userChanged || runAs === undefined)) return;
    this.context.tell({
      type: "log",
      level: "warn",
      message:
        "the data plane keeps its user, which cannot be changed here; its own thread has no capabilities",
      fields: { capableThreads },
    });
  }

  private status(running: Running): DataplaneStatus {
    return {
      pid: process.pid,
      uptimeMs: performance.now() - this.startedAt,
      memory: { rssBytes: process.memoryUsage.rss(), ringBytes: this.context.pool.usedBytes },
      ...running.status(),
    };
  }
}
