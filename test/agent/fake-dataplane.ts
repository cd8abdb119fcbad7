/**
 * A data plane that carries nothing: speaks `api/dataplane.ts` on descriptor 3 and notes what it is told in the
 * file FAKE_DATAPLANE_LOG. FAKE_DATAPLANE_FAIL makes it fail to start. It has as many flows open as the file
 * FAKE_DATAPLANE_FLOWS says, or none.
 */
import { appendFileSync, readFileSync } from "node:fs";
import { Socket } from "node:net";
import { createInterface } from "node:readline";
import type { FromDataplane, PeerStatus, ToDataplane } from "../../src/api/index.js";

const channel = new Socket({ fd: 3 });
const peers = new Map<string, PeerStatus>();
const say = (message: FromDataplane): void => void channel.write(`${JSON.stringify(message)}\n`);

createInterface({ input: channel })
  .on("line", line => {
    appendFileSync(process.env.FAKE_DATAPLANE_LOG as string, `${line}\n`);
    take(JSON.parse(line) as ToDataplane);
  })
  .on("close", () => process.exit(0));

function take(message: ToDataplane): void {
  if (message.type === "start") start(message);
  if (message.type === "peers") {
    for (const peer of message.set ?? []) addPeer(peer.publicKey);
    for (const publicKey of message.remove ?? []) peers.delete(publicKey);
  }
  if (message.type === "status") status(message.id);
  if (message.type === "stop") process.exit(0);
}

function start(message: Extract<ToDataplane, { type: "start" }>): void {
  for (const peer of message.peers) addPeer(peer.publicKey);
  if (process.env.FAKE_DATAPLANE_FAIL !== undefined) {
    say({
      type: "failed",
      code: process.env.FAKE_DATAPLANE_FAIL,
      message: "port 51820 is taken",
      hint: "Use another.",
    });
    channel.end(() => process.exit(1));
  } else {
    say({ type: "ready", listenPort: message.listenPort });
  }
}

function addPeer(publicKey: string): void {
  peers.set(publicKey, {
    publicKey,
    endpoint: "192.0.2.1:1000",
    lastHandshakeAt: 1234,
    rxBytes: 5,
    txBytes: 6,
  });
}

function status(id: number): void {
  say({
    type: "status",
    id,
    status: {
      pid: process.pid,
      uptimeMs: 1,
      listenPort: 51820,
      crypto: "none",
      offloads: [],
      peers: [...peers.values()],
      flows: { tcp: openFlows(), udp: 0 },
      counters: {},
      memory: { rssBytes: 0, ringBytes: 0 },
    },
  });
}

function openFlows(): number {
  const file = process.env.FAKE_DATAPLANE_FLOWS;
  return file === undefined ? 0 : Number(readFileSync(file, "utf8"));
}
