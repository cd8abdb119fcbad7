/**
 * All of it: a laptop consumes services that a real API server tells the agent about. Pods are processes with
 * addresses of their own. There is no kube-proxy here, so nothing routes to a ClusterIP, and the agent balances
 * over the ready endpoints itself.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CLI, Czctl } from "../lab/czctl.js";
import { assert, assertEqual, lab } from "../lab/lab.js";
import { eventually, type Program } from "../lab/program.js";
import { AGENT_ADDRESS, AGENT_PORT, addClusterAddresses } from "../lab/topology.js";
import { kubernetesBinary, NOT_BUILT } from "./cluster.js";

const binary = kubernetesBinary();
if (binary === null) {
  console.log(`1..0 # SKIP ${NOT_BUILT}`);
  process.exit();
}

const script = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const PODS = ["10.244.0.11", "10.244.0.12", "10.244.0.13"];
const CONNECTIONS = 1_000;
const EVEN_WITHIN = 0.1;

const service = (name: string) => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name, namespace: "shop" },
  spec: { ports: [{ name: "http", port: 80, targetPort: 8080 }] },
});
const slice = (name: string, addresses: string[]) => ({
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  metadata: { name, namespace: "shop", labels: { "kubernetes.io/service-name": name } },
  addressType: "IPv4",
  endpoints: addresses.map(address => ({ addresses: [address], conditions: { ready: true } })),
  ports: [{ name: "http", port: 8080 }],
});

interface Tally {
  answers: Record<string, number>;
  errors: Record<string, number>;
}

await lab(import.meta.url, async ({ laptop, cluster, sandbox, check }) => {
  await addClusterAddresses(cluster, PODS);
  await cluster.ip("route add unreachable 10.96.0.0/16\n");
  const dir = join(sandbox.dir, "kubernetes");
  mkdirSync(dir);
  const control = cluster.spawn(
    process.execPath,
    [script("./cluster-main.js"), dir, `${AGENT_ADDRESS}:${AGENT_PORT}`],
    { env: { TMPDIR: dir } },
  );
  await control.waitForLine(/ready/, 120_000);
  const admin = { env: { KUBECONFIG: join(dir, "admin.kubeconfig") } };
  const apply = (...objects: object[]): Promise<string> =>
    cluster.run(binary, ["kubectl", "apply", "-f", "-"], {
      ...admin,
      input: objects.map(object => JSON.stringify(object)).join("\n---\n"),
    });
  const pods = new Map<string, Program>();
  const startPod = async (address: string): Promise<void> => {
    const words = [script("../../demo/service.js"), "http", address, "8080", address];
    pods.set(address, cluster.spawn(process.execPath, words));
    await pods.get(address)?.waitForLine(/ready/);
  };
  for (const address of PODS.slice(0, 2)) await startPod(address);
  await apply(
    { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } },
    service("frontend"),
    slice("frontend", PODS.slice(0, 2)),
    service("hidden"),
  );

  const state = ["--secret", "czctl-agent", "--policy", "czctl-policy"];
  const words = ["agent", "run", "--dir", join(dir, "state"), "--kubernetes", ...state];
  cluster.spawn(process.execPath, [CLI, ...words, "--kubeconfig", join(dir, "agent.kubeconfig")]);
  await cluster.waitForPort(AGENT_PORT, "udp", 20_000);
  const czctl = new Czctl(laptop);

  await check("space invite, space add, up", async () => {
    const invite = ["space", "invite", "laptop", "--allow", "*.shop", "--allow", "!hidden.shop"];
    const credential = await cluster.run(process.execPath, [CLI, ...invite], admin);
    const file = join(dir, "laptop.credential");
    writeFileSync(file, credential, { mode: 0o600 });
    await czctl.run(["space", "add", file]);
    await czctl.run(["primary-namespace", "select", "shop"]);
    await czctl.up();
    await czctl.waitUntilConnected();
    const rows = await czctl.services();
    const allowed = rows.filter(row => row.missingRules === undefined);
    const names = allowed.map(row => `${row.name}.${row.namespace}`);
    assertEqual(names, ["frontend.shop"], "services");
    const hidden = rows.find(row => row.name === "hidden");
    assertEqual(hidden?.missingRules, ["hidden.shop"], "what the policy would have to grant");
    return names.join(" ");
  });

  await check("all four names", async () => {
    const names = ["frontend", "frontend.shop", "frontend.shop.svc", "frontend.shop.svc.cluster.local"];
    for (const name of names) {
      const body = await laptop.run("curl", ["-sS", "--max-time", "5", `http://${name}/`]);
      assert(PODS.includes(body.trim()), `${name} answered ${body}`);
    }
    return names.join(" ");
  });

  await check("services list --endpoints; an alias; what is hidden or cannot be carried", async () => {
    const states = async (): Promise<string[]> =>
      (await czctl.run(["services", "list", "--endpoints"]))
        .split("\n")
        .filter(line => /^shop +frontend /.test(line))
        .map(line => line.split(/ {2,}/).slice(2, 4).join(" "));
    assertEqual(await states(), [`${PODS[0]} ready`, `${PODS[1]} ready`], "endpoints");
    const leaving = slice("frontend", PODS.slice(0, 2));
    const conditions = { ready: false, serving: true, terminating: true };
    const frontend = service("frontend");
    const metadata = { ...frontend.metadata, annotations: { "codezero.io/aliases": "www" } };
    const port = { name: "sig", protocol: "SCTP", port: 36412 };
    await apply(
      { ...leaving, endpoints: [leaving.endpoints[0], { addresses: [PODS[1]], conditions }] },
      { ...frontend, metadata, spec: { ports: [...frontend.spec.ports, port] } },
    );
    await eventually("the endpoint that leaves", async () =>
      assertEqual(await states(), [`${PODS[0]} ready`, `${PODS[1]} serving`], "endpoints"),
    );
    const body = await laptop.run("curl", ["-sS", "--max-time", "5", "http://www.shop.svc.cluster.local/"]);
    assertEqual(body.trim(), PODS[0], "by its other name, from the pod that is ready");
    const list = await czctl.run(["services", "list"]);
    assert(/^shop +www +80,36412\/sctp \(cannot be carried\)/m.test(list), `services list:\n${list}`);
    const annotations = { "codezero.io/consume": "false" };
    await apply({ ...frontend, metadata: { ...frontend.metadata, annotations } });
    await eventually("hidden", async () => assertEqual(await states(), [], "endpoints"));
    await apply(frontend, slice("frontend", PODS.slice(0, 2)));
    await eventually("back", async () => assertEqual((await states()).length, 2, "endpoints"));
    return undefined;
  });

  const requests = [script("./requests.js"), "http://frontend.shop/"];
  await check(`${CONNECTIONS} connections are spread evenly`, async () => {
    const text = await laptop.run(process.execPath, [...requests, String(CONNECTIONS)], {
      timeoutMs: 60_000,
    });
    const { answers, errors } = JSON.parse(text.split("\n")[1] ?? "") as Tally;
    assertEqual(errors, {}, "errors");
    const counts = Object.values(answers);
    assertEqual(counts.length, 2, "pods that answered");
    const mean = CONNECTIONS / counts.length;
    assert(
      counts.every(count => Math.abs(count - mean) <= mean * EVEN_WITHIN),
      `uneven: ${counts}`,
    );
    return counts.join(" : ");
  });

  await check("a pod is killed and replaced under load: only what was in flight on it fails", async () => {
    const load = laptop.spawn(process.execPath, [...requests, "0"]);
    await load.waitForLine(/started/);
    const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms));
    await pause(1_000);
    pods.get(PODS[0] as string)?.kill("SIGKILL");
    // As long as a kubelet takes to notice, at its best.
    await pause(500);
    await startPod(PODS[2] as string);
    await apply(slice("frontend", PODS.slice(1)));
    await pause(2_000);
    load.kill("SIGTERM");
    await load.exited;
    const { answers, errors } = JSON.parse(load.stdout.split("\n")[1] ?? "") as Tally;
    const failed = Object.values(errors).reduce((sum, count) => sum + count, 0);
    assert((answers[PODS[2] as string] ?? 0) > 0, "the new pod was never asked");
    // One connection at a time: at most one was in flight.
    assert(failed <= 1, `${failed} failed: ${JSON.stringify(errors)}`);
    const total = Object.values(answers).reduce((sum, count) => sum + count, 0);
    return `${failed} of ${total + failed} requests failed`;
  });

  await check("space revoke cuts the laptop off", async () => {
    await cluster.run(process.execPath, [CLI, "space", "revoke", "laptop"], admin);
    const before = performance.now();
    await eventually("refused", async () => {
      const { code } = await laptop.exec("curl", [
        "-sS",
        "--max-time",
        "2",
        "-o",
        "/dev/null",
        "http://frontend.shop/",
      ]);
      assert(code !== 0, "still served");
    });
    return `${Math.round(performance.now() - before)} ms after the command returned`;
  });
});
