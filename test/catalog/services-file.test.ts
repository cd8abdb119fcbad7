import { readFileSync } from "node:fs";
import t from "tap";
import { parseServicesFile } from "../../src/catalog/index.js";

const document = (yaml: string) => parseServicesFile(yaml.replace(/^\n/, ""));

t.test("the example in docs/catalog-file.md is right", async t => {
  const markdown = readFileSync(new URL("../../../docs/catalog-file.md", import.meta.url), "utf8");
  const yaml = /```yaml\n([\s\S]*?)```/.exec(markdown)?.[1] as string;
  const { services, errors } = parseServicesFile(yaml);
  t.strictSame(errors, []);
  t.strictSame(services, [
    {
      namespace: "kube-system",
      name: "dns",
      kind: "cluster",
      ports: [
        { name: "dns", protocol: "udp", port: 53, targetPort: 53 },
        { name: "dns-tcp", protocol: "tcp", port: 53, targetPort: 53 },
      ],
      clusterIps: ["10.96.0.10"],
      endpoints: [],
    },
    {
      namespace: "shop",
      name: "billing",
      kind: "external",
      ports: [],
      clusterIps: [],
      endpoints: [],
      externalName: "billing.example.com",
    },
    {
      namespace: "shop",
      name: "catalog",
      kind: "cluster",
      ports: [{ protocol: "tcp", port: 80, targetPort: 80 }],
      clusterIps: [],
      endpoints: [
        { address: "10.244.1.8", ready: true, ports: [80] },
        { address: "10.244.2.9", ready: true, ports: [80] },
      ],
    },
    {
      namespace: "shop",
      name: "frontend",
      kind: "cluster",
      ports: [
        { name: "http", protocol: "tcp", port: 80, targetPort: 8080 },
        { name: "metrics", protocol: "tcp", port: 9090, targetPort: 9090 },
      ],
      clusterIps: ["10.96.3.9"],
      endpoints: [
        { address: "10.244.1.7", ready: true, ports: [8080, 9090] },
        { address: "10.244.2.4", ready: false, ports: [8080, 9090] },
        { address: "10.244.3.5", ready: true, ports: [8081, 9090] },
      ],
    },
    {
      namespace: "shop",
      name: "orders-db",
      kind: "headless",
      ports: [{ protocol: "tcp", port: 5432, targetPort: 5432 }],
      clusterIps: [],
      endpoints: [
        { address: "10.244.1.20", hostname: "orders-db-0", ready: true, ports: [5432] },
        { address: "10.244.2.20", hostname: "orders-db-1", ready: true, ports: [5432] },
      ],
    },
  ]);
});

t.test("other spellings", async t => {
  const { services, errors } = document(`
# comment
namespaces:
  a:
    x: { clusterIPs: [10.0.0.1, "FD00:0::1"], ports: [{port: 1, protocol: udp}] }
    y: { clusterIP: None, ports: [80], endpoints: [10.1.0.1] }
  empty:
  constructor: {}
`);
  t.strictSame(errors, []);
  t.strictSame(services[0]?.clusterIps, ["10.0.0.1", "fd00::1"], "canonical text");
  t.equal(services[0]?.ports[0]?.protocol, "udp");
  t.equal(services[1]?.kind, "headless");
  t.strictSame(parseServicesFile("\uFEFFnamespaces: {}\r\n"), { services: [], errors: [] });
});

t.test("every mistake is told in one line, with its line", async t => {
  const service = (yaml: string) => `namespaces:\n  shop:\n    web:\n${yaml.replace(/^/gm, "      ")}\n`;
  const cases: [yaml: string, line: number, message: RegExp][] = [
    ["", 1, /is empty/],
    ["# only a comment\n", 1, /is empty/],
    ["- x", 1, /must begin with namespaces:/],
    ["namespaces: 3", 1, /must hold namespaces/],
    ["services: {}\nnamespaces: {}", 1, /services is no field/],
    ["namespaces:\n  shop: 3", 2, /shop must hold services/],
    ["namespaces:\n  Shop: {}", 2, /Shop must be a Kubernetes name/],
    ["namespaces:\n  a: {}\n  a: {}", 3, /unique/],
    ["namespaces: {a: {x: {ports: [80]}}", 1, /./],
    ["namespaces:\n\tshop: {}", 2, /[Tt]ab/],
    ["namespaces: *x", 1, /alias/],
    ["namespaces: {}\n---\nnamespaces: {}", 2, /document/],
    ["namespaces:\n  shop:\n    web:\n", 3, /shop\/web must hold fields/],
    ["namespaces:\n  shop:\n    We_b: {ports: [80]}\n", 3, /shop\/We_b must be a Kubernetes name/],
    [service("port: 80\nports: [80]"), 4, /shop\/web port is no field/],
    [service("clusterIP: 10.0.0.1"), 3, /shop\/web has no ports/],
    [service("clusterIP: 10.0.0.256\nports: [80]"), 4, /clusterIP must be an IP address/],
    [service("clusterIP: 224.0.0.1\nports: [80]"), 4, /224.0.0.1 is not the address of a host/],
    [service("ports: [80]\nclusterIPs: []"), 5, /clusterIPs must not be empty/],
    [service("ports: [80]\nclusterIPs: [10.0.0.1, 10.0.0.2]"), 5, /one address per family/],
    [service("ports: [80]\nclusterIPs: [10.0.0.1, fd00::1, fd00::2]"), 5, /one address per family/],
    [service("ports: [80]\nclusterIP: 10.0.0.2\nclusterIPs: [10.0.0.1]"), 5, /first of clusterIPs/],
    [service("ports: [80]\nheadless: true\nclusterIP: 10.0.0.2"), 3, /cannot be both/],
    [service("ports: [80]\nheadless: sure"), 5, /must be true or false/],
    [service("ports: 80"), 4, /ports must be a list/],
    [service("ports:\n  - 80\n  - 81"), 5, /ports\[0\] needs a name/],
    [
      service("ports:\n  - {name: a, port: 80}\n  - {name: a, port: 81}"),
      6,
      /ports\[1\]\.name a is used twice/,
    ],
    [service("ports:\n  - {name: a, port: 80}\n  - {name: b, port: 80}"), 6, /80\/tcp is used twice/],
    [service("ports:\n  - name: a"), 5, /ports\[0\]\.port must be a number/],
    [service("ports:\n  - port: 0"), 5, /must be a number from 1 to 65535/],
    [service("ports:\n  - port: 80\n    targetPort: http"), 6, /targetPort must be a number/],
    [service("ports:\n  - port: 80\n    protocol: SCTP"), 6, /SCTP cannot be carried/],
    [service("ports:\n  - port: 80\n    protocol: icmp"), 6, /must be TCP or UDP/],
    [service("ports:\n  - http"), 5, /must be a number, or hold port/],
    [service("ports: [80]\nendpoints:\n  - 10.0.0.300"), 6, /endpoints\[0\]\.address must be an IP address/],
    [service("ports: [80]\nendpoints:\n  - 10.0.0.3\n  - address: 10.0.0.3"), 7, /10.0.0.3 is listed twice/],
    [
      service("ports: [80]\nendpoints:\n  - addres: 10.0.0.3\n    address: 10.0.0.3"),
      6,
      /addres is no field/,
    ],
    [service("ports: [80]\nendpoints:\n  - address: 0.0.0.0"), 6, /not the address of a host/],
    [
      service("ports: [80]\nendpoints:\n  - {address: 10.0.0.3, hostname: A}"),
      6,
      /hostname must be a Kubernetes name/,
    ],
    [
      service("ports: [80]\nendpoints:\n  - address: 10.0.0.3\n    ports: {81: 82}"),
      7,
      /is no port of this service/,
    ],
    [service("externalName: x.example.com\nclusterIP: 10.0.0.1"), 4, /externalName excludes/],
    [service("externalName: X Y"), 4, /must be a domain name/],
    [
      "namespaces:\n  a:\n    x: {clusterIP: 10.0.0.1, ports: [1]}\n    y: {clusterIP: 10.0.0.1, ports: [2]}",
      4,
      /10.0.0.1 of a\/x/,
    ],
  ];
  for (const [yaml, line, message] of cases) {
    const { errors } = parseServicesFile(yaml);
    t.match(errors[0], { line, message }, yaml);
    for (const error of errors) t.match(error.message, /^[^\n]+$/, "one line");
  }
});

t.test("all errors of a file at once, in its order", async t => {
  const { errors } = document(`
namespaces:
  shop:
    a:
      portz: []
      ports: [0]
    B: {}
`);
  t.strictSame(
    errors.map(error => error.line),
    [4, 5, 6],
  );
});

t.test("an alias bomb is refused", async t => {
  const bomb = `a: &a [x,x,x,x,x,x,x,x,x]\n${"bcdefgh"
    .split("")
    .map((name, i) => `${name}: &${name} [${`*${"abcdefgh"[i]},`.repeat(9)}]`)
    .join("\n")}\nnamespaces: *h\n`;
  t.match(parseServicesFile(bomb).errors[0]?.message, /alias/i);
});
