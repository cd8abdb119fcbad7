/**
 * The data plane as a child process (`spawn.ts`), for the daemon and for the agent: carries messages
 * (`api/dataplane.ts`), notices its end. Starting it again is its owner's decision.
 *
 * The child parses hostile bytes, so what it says is not believed: each line is checked against the contract,
 * and a child that breaks it is killed.
 */
import type { ChildProcess } from "node:child_process";
import type { Socket } from "node:net";
import type { DataplaneStatus, FlowStatus, FromDataplane, ToDataplane } from "../api/index.js";
import { CzctlError } from "../base/index.js";
import { parseFromDataplane } from "./messages.js";

/** Longest line that is read: flow lists are the long ones, about 250 bytes a flow. */
const LINE_LIMIT_BYTES = 64 * 1024 * 1024;
const REQUEST_TIMEOUT_MS = 3_000;
const STOP_TIMEOUT_MS = 1_000;

export interface DataplaneExit {
  code: number | null;
  signal: string | null;
  /** Set when we killed it for breaking the contract. */
  violation?: string;
}

export interface DataplaneEvents {
  onMessage(message: FromDataplane): void;
  onExit(exit: DataplaneExit): void;
}

interface Pending {
  resolve(value: never): void;
  reject(error: Error): void;
  timer: NodeJS.Timeout;
}

export class DataplaneProcess {
  readonly pid: number;
  /** Settles when the child is gone. */
  readonly exited: Promise<DataplaneExit>;
  #child: ChildProcess;
  #socket: Socket;
  #pending = new Map<number, Pending>();
  #nextId = 1;
  #violation: string | undefined;

  /** @param child from `spawnDataplane`, maybe a while ago */
  constructor(child: ChildProcess, events: DataplaneEvents) {
    this.#child = child;
    this.pid = child.pid ?? -1;
    this.#socket = child.stdio[3] as Socket;
    // Its end is reported by "exit"; a message to a dying child is lost like one to a dead child.
    this.#socket.on("error", () => {});
    readLines(this.#socket, LINE_LIMIT_BYTES, line => this.#receive(line, events));
    this.exited = new Promise(resolve => {
      const gone = (code: number | null, signal: string | null): void => {
        this.#socket.destroy();
        for (const [id] of this.#pending) this.#settle(id)?.reject(dataplaneGone());
        const exit: DataplaneExit = { code, signal };
        if (this.#violation !== undefined) exit.violation = this.#violation;
        resolve(exit);
        events.onExit(exit);
      };
      const { pid, exitCode, signalCode } = child;
      if (pid === undefined || exitCode !== null || signalCode !== null) {
        setImmediate(gone, exitCode, signalCode);
      } else child.once("exit", gone);
    });
  }

  send(message: ToDataplane): void {
    if (this.#socket.writable) this.#socket.write(`${JSON.stringify(message)}\n`);
  }

  request(type: "status"): Promise<DataplaneStatus>;
  request(type: "flows"): Promise<FlowStatus[]>;
  request(type: "status" | "flows"): Promise<DataplaneStatus | FlowStatus[]> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#settle(id)?.reject(dataplaneGone()), REQUEST_TIMEOUT_MS);
      this.#pending.set(id, { resolve, reject, timer });
      this.send({ type, id });
    });
  }

  /** Asks it to end, and makes it end when it does not. */
  async stop(): Promise<void> {
    this.send({ type: "stop" });
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), STOP_TIMEOUT_MS);
    await this.exited;
    clearTimeout(timer);
  }

  #receive(line: string | null, events: DataplaneEvents): void {
    const message = line === null ? null : parseFromDataplane(line);
    if (message === null) {
      this.#violation =
        line === null ? "line too long" : `not a message: ${JSON.stringify(line.slice(0, 80))}`;
      this.#socket.destroy();
      this.#child.kill("SIGKILL");
      return;
    }
    if (message.type === "status") this.#settle(message.id)?.resolve(message.status as never);
    else if (message.type === "flows") this.#settle(message.id)?.resolve(message.flows as never);
    else events.onMessage(message);
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    clearTimeout(pending?.timer);
    return pending;
  }
}

function dataplaneGone(): CzctlError {
  return new CzctlError("the data plane does not answer", {
    code: "DATAPLANE_UNAVAILABLE",
    category: "environment",
    hint: "Try again in a moment; `czctl logs` shows what happened.",
  });
}

/** Calls back with each line without its newline, and once with null when one is too long. */
function readLines(socket: Socket, limitBytes: number, onLine: (line: string | null) => void): void {
  let parts: string[] = [];
  let heldBytes = 0;
  socket.setEncoding("utf8");
  socket.on("data", (chunk: string) => {
    let from = 0;
    for (let at = chunk.indexOf("\n"); at !== -1; at = chunk.indexOf("\n", from)) {
      const line = parts.join("") + chunk.slice(from, at);
      parts = [];
      heldBytes = 0;
      from = at + 1;
      if (socket.destroyed) return;
      onLine(line);
    }
    if (from === chunk.length) return;
    parts.push(chunk.slice(from));
    heldBytes += chunk.length - from;
    if (heldBytes > limitBytes) onLine(null);
  });
}
