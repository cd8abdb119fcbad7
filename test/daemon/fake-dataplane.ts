/**
 * A data plane that carries nothing, for tests of the daemon: speaks `api/dataplane.ts` on descriptor 3 and
 * serves, on the control socket, the catalog stream of an agent that does not exist. Directed by files in
 * FAKE_DATAPLANE_DIR:
 *
 *   events     lines of the catalog stream; what is appended is sent
 *   failure    its text is the code that `failed` reports
 *   silent     there is no agent: nothing shakes hands, nothing is served
 *   garbage    says something that is no message
 *   flood      it says more than anybody wants to read
 *   no-flows   nobody is connected
 *   log        what the daemon said, a line each (written here)
 */
import { appendFileSync, existsSync, readFileSync, watch } from "node:fs";
import { createServer } from "node:http";
import { Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { FromDataplane, ToDataplane } from "../../src/api/index.js";

const dir = process.env.FAKE_DATAPLANE_DIR as string;
const file = (name: string): string => join(dir, name);
const channel = new Socket({ fd: 3 });
const say = (message: FromDataplane): void => void channel.write(`${JSON.stringify(message)}\n`);

createInterface({ input: channel })
  .on("line", line => {
    appendFileSync(file("log"), `${line}\n`);
    take(JSON.parse(line) as ToDataplane);
  })
  .on("close", () => process.exit(0));

function take(message: ToDataplane): void {
  if (message.type === "start") start(message);
  else if (message.type === "status") status(message.id);
  else if (message.type === "flows") flows(message.id);
  else if (message.type === "stop") process.exit(0);
}

function start(message: Extract<ToDataplane, { type: "start" }>): void {
  if (existsSync(file("garbage"))) return void channel.write("certainly not JSON\n");
  if (existsSync(file("failure"))) {
    say({
      type: "failed",
      code: readFileSync(file("failure"), "utf8").trim(),
      message: "it failed",
      hint: "Mend it.",
    });
    channel.end(() => process.exit(1));
    return;
  }
  if (existsSync(file("flood"))) {
    for (let i = 0; i < 5_000; i++) say({ type: "log", level: "warn", message: "noise", fields: {} });
  }
  const [peer] = message.peers;
  const server = createServer((_request, response) => {
    response.writeHead(200, { "content-type": "application/x-ndjson" });
    let sent = 0;
    const send = (): void => {
      const text = readFileSync(file("events"), "utf8");
      if (text.length > sent) response.write(text.slice(sent));
      sent = text.length;
    };
    const watcher = watch(file("events"), send);
    response.on("close", () => watcher.close());
    send();
  });
  if (existsSync(file("silent"))) return say({ type: "ready", listenPort: 50_000 });
  server.listen(message.control?.socketPath, () => {
    say({ type: "ready", listenPort: 50_000 });
    if (peer !== undefined) say({ type: "handshake", publicKey: peer.publicKey, at: Date.now() });
  });
}

function status(id: number): void {
  say({
    type: "status",
    id,
    status: {
      pid: process.pid,
      uptimeMs: 1,
      listenPort: 50_000,
      crypto: "none",
      offloads: [],
      peers: [],
      flows: { tcp: 1, udp: 0 },
      counters: { "fake.drops": 3 },
      memory: { rssBytes: 1, ringBytes: 2 },
    },
  });
}

function flows(id: number): void {
  say({
    type: "flows",
    id,
    flows: existsSync(file("no-flows"))
      ? []
      : [
          {
            protocol: "tcp",
            source: "198.18.0.1:40000",
            destination: "198.18.0.3:80",
            name: "evil\u001b[2Jname",
            state: "ESTABLISHED",
            rxBytes: 2048,
            txBytes: 10,
            rttMs: 1.25,
            ageMs: 65_000,
          },
        ],
  });
}
