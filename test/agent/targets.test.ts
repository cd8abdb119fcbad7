import t from "tap";
import { ForbiddenAddresses } from "../../src/agent/forbidden.js";
import { Exposure, readDevices } from "../../src/agent/policy.js";
import { parsePolicy } from "../../src/agent/policy-file.js";
import type { PeerRecord } from "../../src/agent/state.js";
import { exposeServices, refusals } from "../../src/agent/target-addresses.js";
import type { Target } from "../../src/api/index.js";
import { Address, Prefix } from "../../src/base/index.js";
import type { Service, SourceEndpoint, SourceService } from "../../src/catalog/index.js";
import { source } from "./harness.js";

const TUNNEL4 = Prefix.from("100.126.0.0/16");
const TUNNEL6 = Prefix.from("fd12:3456:789a:1::/64");
const forbidden = new ForbiddenAddresses([TUNNEL4, TUNNEL6]);

const pod = (address: string, port: number, ready: boolean = true): SourceEndpoint => ({
  address,
  ready,
  ports: [port],
});

const db: SourceService = source("db", {
  namespace: "data",
  clusterIps: [],
  endpoints: [pod("10.1.0.1", 5432), pod("10.1.0.2", 5433), pod("10.1.0.3", 5432, false), pod("10.1.0.4", 0)],
  ports: [{ protocol: "tcp", port: 5432, targetPort: 5432 }],
});

const nodes: SourceService = source("nodes", {
  kind: "headless",
  clusterIps: [],
  endpoints: [pod("10.1.0.9", 8080), pod("10.1.0.10", 8081, false)],
});

t.test("a cluster address is dialled itself, in both families, with endpoints to fall back on", async t => {
  const web = source("web", { clusterIps: ["10.96.3.9", "fd00:96::9"], endpoints: [pod("10.1.0.1", 8080)] });
  const { targets, services } = exposeServices([web], TUNNEL6);
  const shared = {
    protocol: "tcp",
    port: 80,
    name: "web.shop",
    direct: true,
    endpoints: [{ address: "10.1.0.1", port: 8080 }],
  };
  t.strictSame(targets, [
    { address: "10.96.3.9", ...shared },
    { address: "fd00:96::9", ...shared },
  ] as Target[]);
  t.strictSame(services[0]?.service.targets, ["10.96.3.9", "fd00:96::9"]);
});

t.test("a service without one gets an address of the agent's own, over ready endpoints", async t => {
  const { targets, services } = exposeServices([db], TUNNEL6);
  const [target] = targets;
  t.match(target, { direct: false, port: 5432 });
  t.strictSame(target?.endpoints, [
    { address: "10.1.0.1", port: 5432 },
    { address: "10.1.0.2", port: 5433 },
  ]);
  const address = Address.from(target?.address as string);
  t.ok(TUNNEL6.contains(address));
  t.ok(address.w2 >>> 31 === 1, "in the half where no device is");
  t.strictSame(services[0]?.service.targets, [target?.address]);
});

t.test("made-up addresses do not depend on the other services or their order", async t => {
  const others = Array.from({ length: 200 }, (_, i) => source(`s${i}`, { clusterIps: [] }));
  const alone = exposeServices([db], TUNNEL6).targets[0]?.address;
  const among = exposeServices([...others, db], TUNNEL6).targets;
  t.equal(among.at(-1)?.address, alone);
  t.equal(exposeServices([db, ...others], TUNNEL6).targets[0]?.address, alone);
  t.equal(new Set(among.map(target => target.address)).size, 201);
});

t.test("headless endpoints are dialled by address, ready or not, on their own ports", async t => {
  const { targets } = exposeServices([nodes], TUNNEL6);
  t.strictSame(
    targets.map(({ address, port, direct, endpoints }) => [address, port, direct, endpoints]),
    [
      ["10.1.0.9", 8080, true, []],
      ["10.1.0.10", 8081, true, []],
    ],
  );
});

t.test("an alias has nothing to dial", async t => {
  const alias = source("alias", { kind: "external", clusterIps: [], ports: [], externalName: "example.com" });
  t.strictSame(exposeServices([alias], TUNNEL6).targets, []);
});

t.test("services that share an address share the target, but not each other's endpoints", async t => {
  const a = source("a", { endpoints: [pod("10.1.0.1", 1)] });
  const b = source("b", { endpoints: [pod("10.1.0.2", 2)] });
  const { targets, services } = exposeServices([a, b], TUNNEL6);
  t.equal(targets.length, 1);
  t.strictSame(targets[0]?.endpoints, []);
  t.strictSame(
    services.map(service => service.targets[0]?.index),
    [0, 0],
  );
});

t.test("refused: the host, the link, the cloud, the tunnel, disguises", async t => {
  for (const address of [
    "127.0.0.1",
    "127.9.9.9",
    "0.0.0.0",
    "0.1.2.3",
    "169.254.169.254",
    "169.254.1.1",
    "224.0.0.251",
    "239.255.255.250",
    "255.255.255.255",
    "240.0.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "::",
    "::1",
    "fe80::1",
    "febf::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "fd00:ec2::254",
    "100.126.0.1",
    "100.126.200.7",
    "fd12:3456:789a:1::1",
    "not-an-address",
  ]) {
    t.equal(
      refusals(source("x", { clusterIps: [address] }), forbidden).length,
      1,
      `cluster address ${address}`,
    );
    const found = refusals(source("x", { endpoints: [pod(address, 80)] }), forbidden);
    t.match(found, [{ address, message: /^x\.shop: / }], `endpoint ${address}`);
  }
});

t.test("allowed: ordinary cluster addresses", async t => {
  for (const address of [
    "10.96.0.1",
    "172.20.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "100.127.0.1",
    "8.8.8.8",
    "fd00:96::1",
    "2001:db8::1",
    "128.0.0.1",
    "126.255.255.255",
  ]) {
    t.strictSame(refusals(source("x", { clusterIps: [address] }), forbidden), [], address);
  }
});

function peer(name: string, allow: string[]): PeerRecord {
  return {
    name,
    publicKey: name,
    presharedKey: "",
    addresses: ["100.126.0.2", "fd::2"],
    allow,
    invitedAt: "",
  };
}

t.test("devices with the same rules share a grant", async t => {
  const { devices, grants } = readDevices([
    peer("a", []),
    peer("b", []),
    peer("c", ["shop/*"]),
    peer("d", ["*.shop"]),
    peer("e", ["*.shop", "!web.shop"]),
  ]);
  const grantOf = (name: string) => devices.get(name)?.grant;
  t.equal(grantOf("a"), grantOf("b"));
  t.equal(grantOf("c"), grantOf("d"), "spelt in two ways");
  t.equal(grants.size, 3);
});

t.test("a rule that is none names the device", async t => {
  t.throws(() => readDevices([peer("ann", ["nonsense"])]), { code: "AGENT_STATE_CORRUPT", message: /ann/ });
});

t.test("what a device sees is what it can dial", async t => {
  const web = source("web", {
    ports: [
      { name: "http", protocol: "tcp", port: 80, targetPort: 8080 },
      { name: "admin", protocol: "tcp", port: 9090, targetPort: 9090 },
    ],
  });
  const exposed = exposeServices([web, db, nodes], TUNNEL6);
  const { devices, grants } = readDevices([
    peer("all", []),
    peer("shop", ["*.shop", "!web.shop:admin"]),
    peer("data", ["data/*"]),
    peer("none", ["web.elsewhere"]),
  ]);
  const exposure = new Exposure(exposed, grants, {
    zone: "cluster.local",
    teamspace: "t",
    agentVersion: "0",
  });
  const message = exposure.message();
  const reach = (name: string) => {
    const grant = devices.get(name)?.grant as string;
    const dialled = (message.grants[grant] as number[]).map(index => {
      const target = message.targets[index] as Target;
      return `${target.name}:${target.port}`;
    });
    const seen = JSON.parse(exposure.view(grant).snapshot().toString()).services as SourceService[];
    return {
      dialled: dialled.sort(),
      seen: seen
        .flatMap(service => service.ports.map(port => `${service.name}.${service.namespace}:${port.port}`))
        .sort(),
    };
  };
  for (const [name, expected] of [
    ["all", ["db.data:5432", "nodes.shop:8080", "nodes.shop:8081", "web.shop:80", "web.shop:9090"]],
    ["shop", ["nodes.shop:8080", "nodes.shop:8081", "web.shop:80"]],
    ["data", ["db.data:5432"]],
    ["none", []],
  ] as const) {
    t.strictSame(reach(name), { dialled: expected, seen: expected }, name);
  }
});

t.test("under a policy a device sees what it is denied, unless the policy hides that", async t => {
  const ports = [80, 9090].map(port => ({ protocol: "tcp" as const, port, targetPort: port }));
  const exposed = exposeServices([source("web", { clusterIps: ["10.96.3.9"], ports }), db], TUNNEL6);
  const seen = (policy: string) => {
    const { devices, grants } = readDevices([peer("ann", ["web.shop:80"])], parsePolicy(policy));
    const exposure = new Exposure(exposed, grants, { zone: "z", teamspace: "t", agentVersion: "0" });
    const grant = devices.get("ann")?.grant as string;
    const { services } = JSON.parse(exposure.view(grant).snapshot().toString()) as { services: Service[] };
    return {
      ports: services.flatMap(({ name, ports }) =>
        ports.map(({ port, denied }) => `${denied ? "!" : ""}${name}:${port}`),
      ),
      dialled: exposure.message().grants[grant]?.map(index => exposed.targets[index]?.port),
    };
  };
  const { dialled } = seen("grants: []");
  t.strictSame(dialled, [80]);
  t.strictSame(seen("grants: []").ports, ["web:80", "!web:9090", "!db:5432"]);
  t.strictSame(seen("showDenied: false\ngrants: []"), { ports: ["web:80"], dialled });
});

t.test("an unknown grant sees and reaches nothing", async t => {
  const exposure = new Exposure(exposeServices([db], TUNNEL6), new Map(), {
    zone: "z",
    teamspace: "t",
    agentVersion: "0",
  });
  t.strictSame(JSON.parse(exposure.view("*").snapshot().toString()).services, []);
  t.strictSame(exposure.message().grants, {});
});
