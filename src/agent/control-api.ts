/**
 * The control API (`api/agent.ts`) on the Unix socket that the data plane splices inner connections to. Each
 * connection opens with one line, `{"peer":"<public key>"}`, written by the data plane after WireGuard has
 * authenticated the device: that is the login, and there is no other. Then it is HTTP.
 */
import { chmod } from "node:fs/promises";
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer, type Server as NetServer, type Socket } from "node:net";
import * as z from "zod";
import { CATALOG_PATH, CATALOG_PING_MS, PROBE_BYTES_MAX, PROBE_PATH } from "../api/index.js";
import type { Logger } from "../base/index.js";
import { CatalogStream, type StreamTimes } from "./catalog-stream.js";
import type { CatalogView } from "./catalog-view.js";

const PREAMBLE_LIMIT_BYTES = 256;
const PREAMBLE_TIMEOUT_MS = 5_000;
const STALL_MS = 30_000;
const DRAIN_TELL_MS = 1_000;
/** The daemon keeps one stream; more is for reconnects that overlap. */
const MAX_CONNECTIONS_PER_DEVICE = 4;

const ZEROS = Buffer.alloc(65_536);

const preamble = z.object({ peer: z.string() });

export interface ControlApiOptions {
  socketPath: string;
  log: Logger;
  /** The view of the device with this public key; null when it is not (or no longer) a device of ours. */
  viewOf(publicKey: string): CatalogView | null;
  times?: StreamTimes;
}

export class ControlApi {
  readonly #options: ControlApiOptions;
  readonly #times: StreamTimes;
  readonly #door: NetServer;
  readonly #http: Server;
  readonly #devices = new Map<string, Set<Socket>>();
  readonly #deviceOf = new WeakMap<Socket, string>();
  readonly #streams = new Map<Socket, CatalogStream>();
  /** Connections that have not said yet for whom they are. */
  readonly #nameless = new Set<Socket>();
  #draining: NodeJS.Timeout | undefined;

  static async listen(options: ControlApiOptions): Promise<ControlApi> {
    const api = new ControlApi(options);
    await new Promise<void>((resolve, reject) => {
      api.#door.once("error", reject);
      api.#door.listen(options.socketPath, resolve);
    });
    await chmod(options.socketPath, 0o600);
    return api;
  }

  private constructor(options: ControlApiOptions) {
    this.#options = options;
    this.#times = options.times ?? { pingMs: CATALOG_PING_MS, stallMs: STALL_MS };
    this.#http = createHttpServer({ maxHeaderSize: 4096, noDelay: true }, (req, res) =>
      this.#serve(req, res),
    );
    this.#door = createServer(socket => this.#readPreamble(socket));
  }

  /** Devices or catalog have changed: streams of revoked devices end, the others learn what is new. */
  sync(): void {
    for (const [publicKey, sockets] of this.#devices) {
      if (this.#options.viewOf(publicKey) !== null) continue;
      for (const socket of sockets) this.#endRevoked(socket);
    }
    for (const stream of this.#streams.values()) stream.sync();
  }

  /** Devices are told that they should find another replica, the patient ones again. */
  drain(): void {
    const tell = (): void => {
      for (const stream of this.#streams.values()) stream.drain();
    };
    this.#draining = setInterval(tell, DRAIN_TELL_MS);
    tell();
  }

  /** Devices that follow the catalog here. */
  get listeners(): number {
    return this.#streams.size;
  }

  /** So that the laptop refuses at once what would otherwise go unanswered. */
  #endRevoked(socket: Socket): void {
    const stream = this.#streams.get(socket);
    if (stream === undefined) socket.destroy();
    else stream.revoke();
  }

  async close(): Promise<void> {
    clearInterval(this.#draining);
    const closed = new Promise<void>(resolve => this.#door.close(() => resolve()));
    for (const socket of this.#nameless) socket.destroy();
    for (const sockets of this.#devices.values()) for (const socket of sockets) socket.destroy();
    await closed;
  }

  #readPreamble(socket: Socket): void {
    let held = Buffer.alloc(0);
    const refuse = (why: string): void => {
      this.#options.log.warn("control connection refused", { why });
      socket.destroy();
    };
    const timer = setTimeout(() => refuse("no preamble in time"), PREAMBLE_TIMEOUT_MS);
    const onData = (chunk: Buffer): void => {
      held = Buffer.concat([held, chunk]);
      const end = held.indexOf(0x0a);
      if (end === -1 && held.length <= PREAMBLE_LIMIT_BYTES) return;
      clearTimeout(timer);
      socket.off("data", onData);
      const publicKey =
        end === -1 || end > PREAMBLE_LIMIT_BYTES ? null : parsePreamble(held.subarray(0, end));
      if (publicKey === null) {
        refuse("bad preamble");
      } else {
        this.#nameless.delete(socket);
        this.#admit(socket, publicKey, held.subarray(end + 1));
      }
    };
    this.#nameless.add(socket);
    socket.on("data", onData);
    socket.on("error", () => {});
    socket.once("close", () => {
      clearTimeout(timer);
      this.#nameless.delete(socket);
    });
  }

  /** Gives the connection to the HTTP server, with the bytes that came after the preamble put back. */
  #admit(socket: Socket, publicKey: string, rest: Buffer): void {
    if (this.#options.viewOf(publicKey) === null) {
      socket.destroy();
      return;
    }
    const sockets = this.#devices.get(publicKey) ?? new Set();
    if (sockets.size >= MAX_CONNECTIONS_PER_DEVICE) {
      // The oldest is the one most likely to be a dead laptop's.
      for (const oldest of sockets) {
        oldest.destroy();
        sockets.delete(oldest);
        break;
      }
    }
    sockets.add(socket);
    this.#devices.set(publicKey, sockets);
    this.#deviceOf.set(socket, publicKey);
    socket.once("close", () => {
      sockets.delete(socket);
      if (sockets.size === 0 && this.#devices.get(publicKey) === sockets) this.#devices.delete(publicKey);
    });
    socket.pause();
    if (rest.length > 0) socket.unshift(rest);
    this.#http.emit("connection", socket);
    socket.resume();
  }

  #serve(req: IncomingMessage, res: ServerResponse): void {
    const socket = req.socket;
    const publicKey = this.#deviceOf.get(socket);
    if (publicKey === undefined) throw new TypeError("a connection without a device reached the HTTP server");
    const probeBytes = parseProbe(req.url ?? "");
    if (req.url !== CATALOG_PATH && probeBytes === null) {
      fail(res, 404, "no such resource");
    } else if (req.method !== "GET") {
      fail(res, 405, "only GET");
    } else if (this.#streams.has(socket)) {
      // Pipelined behind a stream that never ends, an answer would only pile up.
      socket.destroy();
    } else if (probeBytes !== null) {
      sendZeros(res, probeBytes);
    } else {
      const stream = new CatalogStream(res, () => this.#options.viewOf(publicKey), this.#times);
      this.#streams.set(socket, stream);
      res.once("close", () => this.#streams.delete(socket));
    }
  }
}

/** How many bytes; null when it is no probe, or asks for too much. */
function parseProbe(url: string): number | null {
  const digits = url.startsWith(PROBE_PATH) ? url.slice(PROBE_PATH.length) : "";
  return /^\d{1,9}$/.test(digits) && Number(digits) <= PROBE_BYTES_MAX ? Number(digits) : null;
}

/** As fast as they are taken, and no faster. */
function sendZeros(res: ServerResponse, bytes: number): void {
  res.writeHead(200, { "content-type": "application/octet-stream", "content-length": bytes });
  let left = bytes;
  const send = (): void => {
    while (left > 0 && !res.destroyed) {
      const chunk = ZEROS.subarray(0, left);
      left -= chunk.length;
      if (!res.write(chunk)) return void res.once("drain", send);
    }
    res.end();
  };
  send();
}

function fail(res: ServerResponse, status: number, message: string): void {
  res.writeHead(status, { "content-type": "application/json" });
  res.end(`${JSON.stringify({ message })}\n`);
}

function parsePreamble(line: Buffer): string | null {
  try {
    return preamble.parse(JSON.parse(line.toString("utf8"))).peer;
  } catch {
    return null;
  }
}
