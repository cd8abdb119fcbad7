/**
 * What an application hears when it connects, by name: `node prober.js once TARGET…` prints one JSON object by
 * target; `watch TARGET` goes on, and prints each outcome that differs from the one before, with its time. A
 * target is `HOST:PORT/PROTOCOL`; UDP ones must echo.
 */
import { createSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

const TIMEOUT_MS = 5_000;
const WATCH_INTERVAL_MS = 10;

export interface Probe {
  /** "ok", an error code, or "timeout". */
  outcome: string;
  ms: number;
}

async function probe(target: string): Promise<Probe> {
  const [, host = "", port = "", protocol] = /^(.*):(\d+)\/(tcp|udp)$/.exec(target) ?? [];
  const start = performance.now();
  try {
    const { address } = await lookup(host, { family: 4 });
    await (protocol === "udp" ? echoUdp(address, Number(port)) : connectTcp(address, Number(port)));
    return { outcome: "ok", ms: performance.now() - start };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return { outcome: code ?? message, ms: performance.now() - start };
  }
}

function connectTcp(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, timeout: TIMEOUT_MS });
    socket.on("connect", () => {
      socket.destroy();
      resolve();
    });
    socket.on("timeout", () => socket.destroy(new Error("timeout")));
    socket.on("error", reject);
  });
}

async function echoUdp(host: string, port: number): Promise<void> {
  const socket = createSocket("udp4");
  const timer = setTimeout(() => socket.emit("error", new Error("timeout")), TIMEOUT_MS);
  try {
    await new Promise<unknown>((resolve, reject) => {
      socket.once("message", resolve).once("error", reject);
      socket.connect(port, host, () => socket.send("echo"));
    });
  } finally {
    clearTimeout(timer);
    socket.close();
  }
}

const [mode, ...targets] = process.argv.slice(2);
if (mode === "once") {
  const probes = await Promise.all(targets.map(async target => [target, await probe(target)] as const));
  console.log(JSON.stringify(Object.fromEntries(probes)));
} else {
  for (let last = ""; ; await sleep(WATCH_INTERVAL_MS)) {
    const { outcome } = await probe(targets[0] as string);
    if (outcome !== last) console.log(JSON.stringify({ outcome, at: Date.now() }));
    last = outcome;
  }
}
