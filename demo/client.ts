/**
 * What an application on the laptop does, timed: `node client.js ACTION ARGUMENT…` prints one JSON object.
 * Names go through the system's resolver (getaddrinfo), as in every other program.
 *
 *   lookup NAME…                     addresses by name
 *   get COUNT URL…                   each URL COUNT times, a connection each
 *   poll URL MS                      a request every 20 ms; one JSON line each
 *   connect HOST PORT                how a connection ends up
 *   hold HOST PORT                   connects, says so, and stays until the connection ends
 *   tcp HOST PORT TEXT               echoed text
 *   udp HOST PORT TEXT               echoed text
 *   download URL                     rate
 */
import { createSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { get } from "node:http";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const TIMEOUT_MS = 5_000;
const POLL_INTERVAL_MS = 20;

async function fetchText(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = get(url, { agent: false, timeout: TIMEOUT_MS }, response => {
      let text = "";
      response.setEncoding("utf8").on("data", chunk => {
        text += chunk;
      });
      response.on("end", () => resolve(text.trim())).on("error", reject);
    });
    request.on("error", reject).on("timeout", () => request.destroy(new Error("timeout")));
  });
}

async function lookupAll(names: string[]): Promise<unknown> {
  const addresses: Record<string, string> = {};
  for (const name of names) addresses[name] = (await lookup(name, { family: 4 })).address;
  return { addresses };
}

async function getAll(count: string, urls: string[]): Promise<unknown> {
  const bodies: string[] = [];
  for (const url of urls) {
    for (let i = 0; i < Number(count); i++) bodies.push(await fetchText(url));
  }
  return { bodies };
}

async function poll(url: string, forMs: string): Promise<unknown> {
  const end = Date.now() + Number(forMs);
  let requests = 0;
  while (Date.now() < end) {
    const startedAt = Date.now();
    const answer = await fetchText(url).then(
      body => ({ body }),
      (error: Error) => ({ error: error.message }),
    );
    console.log(JSON.stringify({ startedAt, ...answer }));
    requests++;
    await sleep(POLL_INTERVAL_MS);
  }
  return { requests };
}

async function tryConnect(host: string, port: string): Promise<unknown> {
  const start = performance.now();
  const outcome = await new Promise<string>(resolve => {
    const socket = connect({ host, port: Number(port), family: 4, timeout: TIMEOUT_MS });
    socket.on("connect", () => resolve("connected")).on("timeout", () => resolve("timeout"));
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.unref();
    setTimeout(() => {}, TIMEOUT_MS).unref();
  });
  return { outcome, connectMs: performance.now() - start };
}

async function hold(host: string, port: string): Promise<unknown> {
  const socket = connect({ host, port: Number(port), family: 4 });
  socket.on("connect", () => console.log("connected"));
  const outcome = await new Promise<string>(resolve => {
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.on("end", () => resolve("end"));
  });
  process.exitCode = 1;
  return { outcome };
}

async function echoTcp(host: string, port: string, text: string): Promise<unknown> {
  const socket = connect({ host, port: Number(port), family: 4, timeout: TIMEOUT_MS });
  socket.on("timeout", () => socket.destroy(new Error("timeout")));
  socket.end(text);
  let echo = "";
  for await (const chunk of socket.setEncoding("utf8")) echo += chunk;
  return { echo };
}

async function echoUdp(host: string, port: string, text: string): Promise<unknown> {
  const { address } = await lookup(host, { family: 4 });
  const socket = createSocket("udp4");
  const start = performance.now();
  const echo = await new Promise<string>((resolve, reject) => {
    socket.once("message", message => resolve(message.toString())).once("error", reject);
    setTimeout(() => reject(new Error("timeout")), TIMEOUT_MS).unref();
    socket.connect(Number(port), address, () => socket.send(text));
  });
  socket.close();
  return { echo, roundTripMs: performance.now() - start };
}

async function download(url: string): Promise<unknown> {
  const start = performance.now();
  const bytes = await new Promise<number>((resolve, reject) => {
    get(url, { agent: false }, response => {
      let received = 0;
      response.on("data", (chunk: Buffer) => {
        received += chunk.length;
      });
      response.on("end", () => resolve(received)).on("error", reject);
    }).on("error", reject);
  });
  const seconds = (performance.now() - start) / 1000;
  return { bytes, seconds, gigabitsPerSecond: (bytes * 8) / seconds / 1e9 };
}

const [action = "", a = "", b = "", c = ""] = process.argv.slice(2);
const actions: Record<string, () => Promise<unknown>> = {
  lookup: () => lookupAll(process.argv.slice(3)),
  get: () => getAll(a, process.argv.slice(4)),
  poll: () => poll(a, b),
  connect: () => tryConnect(a, b),
  hold: () => hold(a, b),
  tcp: () => echoTcp(a, b, c),
  udp: () => echoUdp(a, b, c),
  download: () => download(a),
};
const act = actions[action];
if (act === undefined) throw new Error(`unknown action ${action}`);
console.log(JSON.stringify(await act()));
