/**
 * A client's connection to the system bus: calls and their replies, signals, and the end. D-Bus Specification
 * 0.43, "Authentication Protocol" (EXTERNAL only) and "Message Bus Messages".
 *
 * Why not a package: docs/decisions/0007.
 */
import { createConnection, type Socket } from "node:net";
import {
  type DbusMessage,
  type DbusValue,
  decodeMessage,
  encodeMessage,
  MESSAGE_TYPES,
  NO_AUTO_START,
} from "./dbus-message.js";

export const SYSTEM_BUS = "/run/dbus/system_bus_socket";
/** A bus or a service that does not answer for this long will not any more. */
const REPLY_TIMEOUT_MS = 5_000;
const AUTH_MAX_BYTES = 4_096;

/** A method, where the bus finds it. */
export interface DbusMethod {
  destination: string;
  path: string;
  interface: string;
}

export const BUS: DbusMethod = {
  destination: "org.freedesktop.DBus",
  path: "/org/freedesktop/DBus",
  interface: "org.freedesktop.DBus",
};

/** The service said no: `name` is D-Bus's own, `org.freedesktop.DBus.Error.AccessDenied`. */
export class DbusError extends Error {
  constructor(name: string, message: string) {
    super(message);
    this.name = name;
  }
}

interface Call {
  resolve(body: readonly DbusValue[]): void;
  reject(error: Error): void;
  timer: NodeJS.Timeout;
}

export interface DbusEvents {
  /** Of the bus itself. */
  onSignal(message: DbusMessage): void;
  /** Once, whoever ended it; not when `open` rejects. */
  onClose(): void;
}

export class DbusConnection {
  #socket: Socket;
  #events: DbusEvents;
  #received: Buffer = Buffer.alloc(0);
  #serial = 0;
  #calls = new Map<number, Call>();
  /** Takes what comes until the bus believes who we are. */
  #onAuthenticated: (() => void) | null = null;

  /** Rejects when there is no bus at `path`, or it does not want us. */
  static async open(path: string, events: DbusEvents): Promise<DbusConnection> {
    const socket = createConnection({ path });
    const connection = new DbusConnection(socket, events);
    try {
      await connection.#authenticate();
      await connection.call(BUS, "Hello");
    } catch (error) {
      socket.destroy();
      throw error;
    }
    socket.on("close", () => events.onClose());
    return connection;
  }

  private constructor(socket: Socket, events: DbusEvents) {
    this.#socket = socket;
    this.#events = events;
    socket.on("data", chunk => this.#receive(chunk));
    socket.on("error", () => {});
    socket.on("close", () => {
      for (const call of this.#calls.values()) {
        clearTimeout(call.timer);
        call.reject(new Error("the bus is gone"));
      }
      this.#calls.clear();
    });
  }

  /** Rejects with DbusError when the service says so, with Error when nobody says anything. Starts no service. */
  call(
    to: DbusMethod,
    member: string,
    signature: string = "",
    args: readonly DbusValue[] = [],
  ): Promise<readonly DbusValue[]> {
    const serial = ++this.#serial;
    const message: DbusMessage = {
      type: MESSAGE_TYPES.METHOD_CALL,
      flags: NO_AUTO_START,
      serial,
      ...to,
      member,
      ...(signature === "" ? {} : { signature }),
      body: args,
    };
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) return reject(new Error("the bus is gone"));
      const timer = setTimeout(() => {
        this.#calls.delete(serial);
        reject(new Error(`no answer to ${member} within ${REPLY_TIMEOUT_MS / 1000} s`));
      }, REPLY_TIMEOUT_MS);
      this.#calls.set(serial, { resolve, reject, timer });
      this.#socket.write(encodeMessage(message));
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  /** The kernel tells the bus our user; we only repeat it. */
  #authenticate(): Promise<void> {
    const user = Buffer.from(String(process.geteuid?.() ?? 0)).toString("hex");
    this.#socket.write(`\0AUTH EXTERNAL ${user}\r\n`);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#socket.destroy(new Error("no answer")), REPLY_TIMEOUT_MS);
      const onError = (error: Error): void => reject(error);
      const onClose = (): void => reject(new Error("the bus does not want us"));
      this.#socket.once("error", onError).once("close", onClose);
      this.#onAuthenticated = () => {
        clearTimeout(timer);
        this.#socket.off("error", onError).off("close", onClose);
        resolve();
      };
      this.#socket.once("close", () => clearTimeout(timer));
    });
  }

  #receive(chunk: Buffer): void {
    this.#received = this.#received.length === 0 ? chunk : Buffer.concat([this.#received, chunk]);
    if (this.#onAuthenticated !== null) return this.#receiveLine(this.#onAuthenticated);
    try {
      for (;;) {
        const found = decodeMessage(this.#received, message => this.#isForUs(message));
        if (found === null) return;
        this.#received = this.#received.subarray(found.length);
        if (this.#isForUs(found.message)) this.#dispatch(found.message);
      }
    } catch {
      this.#socket.destroy();
    }
  }

  #receiveLine(done: () => void): void {
    const line = this.#received.toString("latin1");
    if (!line.endsWith("\r\n") && line.length < AUTH_MAX_BYTES) return;
    if (!line.startsWith("OK ")) return void this.#socket.destroy();
    // The bus says no more before we begin.
    this.#received = Buffer.alloc(0);
    this.#onAuthenticated = null;
    this.#socket.write("BEGIN\r\n");
    done();
  }

  /** Any user's program may send us signals; the bus vouches for their sender, and for replies to be replies. */
  #isForUs({ type, replySerial, sender }: DbusMessage): boolean {
    if (type === MESSAGE_TYPES.SIGNAL) return sender === BUS.destination;
    return replySerial !== undefined && this.#calls.has(replySerial);
  }

  #dispatch(message: DbusMessage): void {
    const { type, replySerial, body } = message;
    if (type === MESSAGE_TYPES.SIGNAL) return this.#events.onSignal(message);
    if (replySerial === undefined) return;
    const call = this.#calls.get(replySerial);
    if (call === undefined) return;
    this.#calls.delete(replySerial);
    clearTimeout(call.timer);
    if (type === MESSAGE_TYPES.METHOD_RETURN) call.resolve(body);
    else call.reject(new DbusError(message.errorName ?? "error", String(body[0] ?? message.errorName)));
  }
}
