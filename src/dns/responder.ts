/**
 * The DNS responder: the zone's answers over UDP and TCP on one address (a loopback one; the data plane
 * carries questions for the virtual address here, and repeats what it has heard before). It asks nobody and waits for
 * nothing.
 *
 * Specifications: RFC 1035 §4.2, RFC 6891 (EDNS), RFC 7766 (TCP).
 */
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { createServer, type Server, type Socket } from "node:net";
import { CzctlError } from "../base/index.js";
import { MESSAGE_MAX_BYTES, respond } from "./message.js";
import type { Zone } from "./zone.js";

/** RFC 7766 §6.2.3: a client that is quiet for this long has gone. */
const TCP_IDLE_MS = 10_000;
const TCP_CONNECTIONS_MAX = 256;
/** About 500 questions in a burst; Linux gives an ordinary socket at most this, twice its default. */
const RECEIVE_BUFFER_BYTES = 425_984;

export interface ResponderAddress {
  address: string;
  /** 0 for any. */
  port: number;
}

export interface ResponderPorts {
  udpPort: number;
  tcpPort: number;
}

export class DnsResponder {
  private zone: Zone | null = null;
  private udp: UdpSocket | null = null;
  private tcp: Server | null = null;
  private readonly connections = new Set<Socket>();

  /** Throws CzctlError (environment) when the address cannot be bound. */
  async start(options: ResponderAddress): Promise<ResponderPorts> {
    try {
      return { udpPort: await this.startUdp(options), tcpPort: await this.startTcp(options) };
    } catch (cause) {
      await this.close();
      throw new CzctlError(`the DNS responder cannot listen on ${options.address} port ${options.port}`, {
        code: "DNS_LISTEN_FAILED",
        category: "environment",
        hint: "see which program holds the port with: ss -lnp sport = :PORT",
        cause,
      });
    }
  }

  /** What is answered from now on; before the first call every question is SERVFAIL. */
  setZone(zone: Zone): void {
    this.zone = zone;
  }

  async close(): Promise<void> {
    const { udp, tcp } = this;
    this.udp = null;
    this.tcp = null;
    for (const connection of this.connections) connection.destroy();
    await Promise.all([
      udp === null ? null : new Promise<void>(resolve => udp.close(resolve)),
      tcp?.listening === true ? new Promise<void>(resolve => tcp.close(() => resolve())) : null,
    ]);
  }

  private startUdp({ address, port }: ResponderAddress): Promise<number> {
    const family = address.includes(":") ? 6 : 4;
    const socket = createSocket({
      type: `udp${family}`,
      recvBufferSize: RECEIVE_BUFFER_BYTES,
      // Whom we answer is an address already: no call of the resolver, and no turn of the event loop.
      lookup: (host, _options, done) => done(null, host, family),
    });
    this.udp = socket;
    socket.on("message", (query, from) => {
      const response = respond(this.zone, query, "udp");
      // Who asked may be gone by now; that is no concern of ours.
      if (response !== null) socket.send(response, from.port, from.address, ignore);
    });
    return new Promise((resolve, reject) => {
      socket.once("error", reject);
      socket.bind({ address, port, exclusive: true }, () => {
        socket.off("error", reject);
        socket.on("error", () => {});
        resolve(socket.address().port);
      });
    });
  }

  private startTcp({ address, port }: ResponderAddress): Promise<number> {
    const server = createServer(connection => this.accept(connection));
    server.maxConnections = TCP_CONNECTIONS_MAX;
    this.tcp = server;
    return new Promise((resolve, reject) => {
      server.once("error", reject);
      server.listen({ host: address, port, exclusive: true }, () => {
        server.off("error", reject);
        server.on("error", () => {});
        const bound = server.address();
        resolve(bound === null || typeof bound === "string" ? 0 : bound.port);
      });
    });
  }

  private accept(connection: Socket): void {
    let pending: Buffer = Buffer.alloc(0);
    this.connections.add(connection);
    connection.setTimeout(TCP_IDLE_MS, () => connection.destroy());
    connection.on("close", () => this.connections.delete(connection));
    connection.on("error", () => {});
    connection.on("drain", () => connection.resume());
    connection.on("data", chunk => {
      const left = this.serve(connection, pending.length === 0 ? chunk : Buffer.concat([pending, chunk]));
      if (left === null) connection.destroy();
      else pending = left;
    });
  }

  /**
   * Answers every whole question in `bytes`: they come in any number, without waiting for answers (RFC 7766
   * §6.2.1.1). Returns the rest, or null when this client does not speak DNS.
   */
  private serve(connection: Socket, bytes: Buffer): Buffer | null {
    let at = 0;
    while (bytes.length - at >= 2) {
      const length = bytes.readUInt16BE(at);
      if (length > MESSAGE_MAX_BYTES) return null;
      if (bytes.length - at - 2 < length) break;
      at += 2 + length;
      const response = respond(this.zone, bytes.subarray(at - length, at), "tcp");
      if (response === null) return null;
      const prefix = Buffer.from([response.length >>> 8, response.length & 255]);
      if (!connection.write(Buffer.concat([prefix, response]))) connection.pause();
    }
    return bytes.subarray(at);
  }
}

function ignore(): void {}
