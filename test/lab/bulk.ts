/**
 * Transfers whose every byte is known and whose pauses are measured, as programs of the labs.
 *
 *   serve ADDRESS…          HTTP on port 80: GET /BYTES/BYTES_PER_SECOND sends, PUT /BYTES/… takes and judges
 *   down URL                one line of JSON at the end: see `Transfer`
 *   up URL                  the same, as the server saw it
 *
 * Both say `started` once the first bytes are there.
 */
import { Agent, createServer, get, type IncomingMessage, request } from "node:http";
import { pipeline } from "node:stream/promises";
import { setTimeout as sleep } from "node:timers/promises";

export interface Transfer {
  bytes: number;
  /** Every byte was the expected one, and all came. */
  exact: boolean;
  ms: number;
  /** The longest time without a byte, and when it began. */
  stallMs: number;
  stallAtMs: number;
}

const TICK_MS = 10;
/** The common agent's sockets give up when keep-alive probes go unanswered for eleven seconds. */
const ONE_TIME = new Agent({ keepAlive: false });

/** Byte `i` of every transfer. */
function fill(chunk: Buffer, from: number): Buffer {
  for (let i = 0; i < chunk.length; i++) chunk[i] = Math.imul(from + i, 2_654_435_761) >>> 24;
  return chunk;
}

async function* produce(total: number, bytesPerSecond: number): AsyncGenerator<Buffer> {
  const start = performance.now();
  for (let sent = 0; sent < total; ) {
    const due = Math.min(total, Math.ceil(((performance.now() - start + TICK_MS) * bytesPerSecond) / 1000));
    if (due > sent) yield fill(Buffer.allocUnsafe(Math.min(due - sent, 256 * 1024)), sent);
    sent = Math.min(due, sent + 256 * 1024);
    if (sent === due) await sleep(TICK_MS);
  }
}

async function judge(stream: IncomingMessage, total: number, start = performance.now()): Promise<Transfer> {
  const result: Transfer = { bytes: 0, exact: true, ms: 0, stallMs: 0, stallAtMs: 0 };
  let last = start;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      const now = performance.now();
      if (now - last > result.stallMs) {
        result.stallMs = now - last;
        result.stallAtMs = last - start;
      }
      last = now;
      if (result.bytes === 0) console.log("started");
      if (!fill(Buffer.allocUnsafe(chunk.length), result.bytes).equals(chunk)) result.exact = false;
      result.bytes += chunk.length;
    }
  } catch {
    result.exact = false;
  }
  result.ms = performance.now() - start;
  if (result.bytes !== total) result.exact = false;
  return result;
}

function numbers(path: string): [number, number] {
  const [, total = "0", rate = "0"] = path.split("/");
  return [Number(total), Number(rate)];
}

function serve(addresses: string[]): void {
  let left = addresses.length;
  const server = (address: string): void => {
    createServer(async (incoming, outgoing) => {
      const [total, rate] = numbers(incoming.url ?? "");
      outgoing.setHeader("connection", "close");
      if (incoming.method === "PUT") {
        outgoing.end(JSON.stringify(await judge(incoming, total)));
        return;
      }
      outgoing.setHeader("content-length", total);
      await pipeline(produce(total, rate), outgoing).catch(() => {});
    }).listen(80, address, () => {
      if (--left === 0) console.log("ready");
    });
  };
  for (const address of addresses) server(address);
}

function down(url: string): void {
  const [total] = numbers(new URL(url).pathname);
  const start = performance.now();
  get(url, { agent: ONE_TIME }, async response =>
    console.log(JSON.stringify(await judge(response, total, start))),
  ).on("error", fail);
}

function up(url: string): void {
  const [total, rate] = numbers(new URL(url).pathname);
  const outgoing = request(url, { method: "PUT", agent: ONE_TIME }, async response => {
    for await (const text of response.setEncoding("utf8")) console.log(text);
  });
  outgoing.on("error", fail);
  console.log("started");
  pipeline(produce(total, rate), outgoing).catch(fail);
}

function fail(error: Error): void {
  console.error(error.message);
  process.exitCode = 1;
}

const [role, ...rest] = process.argv.slice(2);
if (role === "serve") serve(rest);
else if (role === "down") down(rest[0] ?? "");
else if (role === "up") up(rest[0] ?? "");
else throw new Error(`unknown role ${role}`);
