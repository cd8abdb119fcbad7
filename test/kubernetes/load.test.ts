/**
 * A laptop's load on a Service that the real kube-proxy balances over nginx pods: all four names, an even spread, and
 * a pod that is killed and replaced under `wrk`, which tries nothing twice. Its figures are held against the pods' logs.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Czctl } from "../lab/czctl.js";
import type { Host } from "../lab/host.js";
import { assert, assertEqual, lab, missing } from "../lab/lab.js";
import type { Program } from "../lab/program.js";
import { kubernetesBinary, NOT_BUILT } from "./cluster.js";
import { Node, slice } from "./node.js";

const lacks = kubernetesBinary() === null ? [NOT_BUILT] : missing(["nft", "curl", "nginx", "wrk", "ss"]);
if (lacks.length > 0) {
  console.log(`1..0 # SKIP needs ${lacks.join(", ")}`);
  process.exit();
}

const REQUESTS = fileURLToPath(new URL("./requests.js", import.meta.url));
const AGENT = "10.244.0.21";
const CONNECTIONS = 1_000;
const EVEN_WITHIN = 0.1;
const WRK_CONNECTIONS = 16;
const WRK_SECONDS = 6;
/** A kubelet at its best: until the Service hears of a pod that died. */
const KUBELET_MS = 1_000;
const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms));

/** nginx that says which pod it is and logs each answer as soon as it is written. */
class WebPod {
  readonly address: string;
  readonly host: Host;
  readonly program: Program;
  readonly #log: string;

  private constructor(address: string, host: Host, program: Program, log: string) {
    this.address = address;
    this.host = host;
    this.program = program;
    this.#log = log;
  }

  static async start(node: Node, name: string, address: string): Promise<WebPod> {
    const host = await node.pod(name, address);
    const dir = join(host.dir, "nginx");
    mkdirSync(join(dir, "tmp"), { recursive: true });
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
      .map(kind => `${kind}_temp_path ${dir}/tmp/${kind};`)
      .join(" ");
    writeFileSync(
      join(dir, "nginx.conf"),
      // One process, so that one SIGKILL is the pod's end.
      `daemon off; master_process off; pid ${dir}/pid; error_log stderr crit;
       events { worker_connections 1024; }
       http { ${temporary} access_log ${dir}/access.log; keepalive_requests 10000000;
              server { listen 8080; location / { return 200 "${address}\\n"; } } }\n`,
    );
    const program = host.spawn("nginx", ["-p", dir, "-c", join(dir, "nginx.conf"), "-e", "stderr"]);
    await host.waitForPort(8080);
    return new WebPod(address, host, program, join(dir, "access.log"));
  }

  get answered(): number {
    return readFileSync(this.#log, "utf8").split("\n").length - 1;
  }

  async connections(): Promise<number> {
    const text = await this.host.run("ss", ["-Htn", "state", "established", "sport = :8080"]);
    return text.split("\n").length - 1;
  }
}

interface WrkResult {
  requests: number;
  /** connect, read, write, timeout. */
  errors: number[];
  badAnswers: number;
}

function parseWrk(text: string): WrkResult {
  const errors = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(text);
  return {
    requests: Number(/(\d+) requests in/.exec(text)?.[1]),
    errors: errors === null ? [0, 0, 0, 0] : errors.slice(1).map(Number),
    badAnswers: Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0),
  };
}

await lab(import.meta.url, async l => {
  const { laptop, check } = l;
  const node = await Node.start(l);
  const pods = [
    await WebPod.start(node, "web1", "10.244.0.11"),
    await WebPod.start(node, "web2", "10.244.0.12"),
  ] as const;
  const setEndpoints = (...these: WebPod[]): Promise<string> => {
    const endpoints = Object.fromEntries(these.map(({ address }) => [address, "ready" as const]));
    return node.apply(slice("shop", "frontend", [{ name: "http", port: 8080 }], endpoints));
  };
  const spec = { ports: [{ name: "http", port: 80, targetPort: 8080 }] };
  await node.apply(
    { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } },
    { apiVersion: "v1", kind: "Service", metadata: { name: "frontend", namespace: "shop" }, spec },
  );
  await setEndpoints(...pods);
  await node.exposeAgent();
  await node.agent("agent", AGENT);
  await node.agentEndpoints({ [AGENT]: "ready" });
  await node.waitForRules(AGENT, true);

  const czctl = new Czctl(laptop);
  const credential = join(node.dir, "laptop.json");
  const invitation = await node.czctl(["space", "invite", "laptop", "--allow", "*.shop"]);
  writeFileSync(credential, invitation, { mode: 0o600 });
  await czctl.run(["space", "add", credential]);
  await czctl.run(["primary-namespace", "select", "shop"]);
  await czctl.up();
  await czctl.waitUntilConnected();

  await check("all four names", async () => {
    const names = ["frontend", "frontend.shop", "frontend.shop.svc", "frontend.shop.svc.cluster.local"];
    for (const name of names) {
      const body = await laptop.run("curl", ["-sS", "--max-time", "5", `http://${name}/`]);
      assert(
        pods.some(({ address }) => address === body.trim()),
        `${name} answered ${body}`,
      );
    }
    return names.join(" ");
  });

  await check(`${CONNECTIONS} connections are spread evenly by kube-proxy`, async () => {
    const text = await laptop.run(
      process.execPath,
      [REQUESTS, "http://frontend.shop/", String(CONNECTIONS)],
      { timeoutMs: 60_000 },
    );
    const { answers, errors } = JSON.parse(text.split("\n")[1] ?? "");
    assertEqual(errors, {}, "errors");
    const counts: number[] = Object.values(answers);
    const mean = CONNECTIONS / pods.length;
    assertEqual(counts.length, pods.length, "pods that answered");
    // kube-proxy chooses at random: 10 % are more than three standard deviations.
    assert(
      counts.every(count => Math.abs(count - mean) <= mean * EVEN_WITHIN),
      `uneven: ${counts}`,
    );
    return counts.join(" : ");
  });

  const spare = ["10.244.0.13", "10.244.0.14"];
  let serving: [WebPod, WebPod] = [...pods];
  for (const [how, headers] of [
    ["connections that stay", []],
    ["a connection each", ["-H", "Connection: close"]],
  ] as const) {
    await check(
      `a pod is killed and replaced under wrk, ${how}: only what was in flight on it fails`,
      async () => {
        const [killed, living] = serving;
        const before = killed.answered + living.answered;
        const options = ["-t1", `-c${WRK_CONNECTIONS}`, `-d${WRK_SECONDS}s`, ...headers];
        const load = laptop.spawn("wrk", [...options, "http://frontend.shop/"]);
        await pause(2_000);
        const open = await killed.connections();
        killed.program.kill("SIGKILL");
        await pause(KUBELET_MS);
        const address = spare.shift() as string;
        const replacement = await WebPod.start(node, `web${address.split(".").at(-1)}`, address);
        serving = [living, replacement];
        await setEndpoints(...serving);
        await load.exited;
        const { requests, errors, badAnswers } = parseWrk(load.stdout);
        const [, read = 0] = errors;
        const failed = errors.reduce((sum, count) => sum + count, 0) + badAnswers;
        assertEqual(failed, read, `failures other than lost answers (${load.stdout})`);
        // Connections that come and go are others at the kill than when they were counted.
        const inFlight = headers.length === 0 ? open : WRK_CONNECTIONS;
        assert(read <= inFlight, `${read} failed, ${inFlight} were in flight on the killed pod`);
        if (headers.length > 0) assert(replacement.answered > 0, "the replacement was never asked");
        // What the pods answered has arrived, but for what was on its way at the kill and at the end.
        const answered = killed.answered + living.answered + replacement.answered - before;
        const lost = answered - requests;
        assert(lost >= 0 && lost <= inFlight + WRK_CONNECTIONS, `${answered} answered, ${requests} received`);
        return (
          `${requests} requests, ${failed} failed, ${open} open on the pod; the pods answered ${answered}, ` +
          `the replacement ${replacement.answered} of them`
        );
      },
    );
  }
  await node.close();
});
