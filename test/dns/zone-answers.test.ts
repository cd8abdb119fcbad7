import t from "tap";
import { parseRules, placeServices, type Service, VirtualAddresses } from "../../src/catalog/index.js";
import { answer, type DnsRecord, type ZoneAnswer } from "../../src/dns/index.js";
import { D, F, QUESTIONS } from "./questions.js";
import { makeZone, RANGE, ULA } from "./world.js";

function text(record: DnsRecord): string {
  const { name, type, data } = record;
  const shown = typeof data === "string" ? data : Object.values(data).join(" ");
  return `${name} ${type} ${shown}`;
}

/** One line: the code, the answers, `/` the authority, `+` the additional records. */
function brief({ rcode, answers, authority, additional }: ZoneAnswer): string[] {
  return [
    rcode,
    ...answers.map(text),
    ...authority.map(record => `/ ${text(record)}`),
    ...additional.map(record => `+ ${text(record)}`),
  ];
}

t.test(`Kubernetes DNS specification 1.1.0: ${QUESTIONS.length} questions`, async t => {
  const zone = makeZone();
  for (const [name, type, ...expected] of QUESTIONS)
    t.strictSame(brief(answer(zone, name, type)), expected, `${name} ${type}`);
});

t.test("every record lives five seconds", async t => {
  const { answers, additional } = answer(makeZone(), `_pg._tcp.${D}`, "SRV");
  for (const record of [...answers, ...additional]) t.equal(record.ttl, 5);
  t.equal(answer(makeZone(), "x.cluster.local", "A").authority[0]?.ttl, 5);
});

t.test("not synced: SERVFAIL for what is ours, REFUSED as ever for the rest", async t => {
  const zone = makeZone({ services: null });
  t.strictSame(brief(answer(zone, F, "A")), ["SERVFAIL"]);
  t.strictSame(brief(answer(zone, "cluster.local", "SOA")), ["SERVFAIL"]);
  t.strictSame(brief(answer(zone, "7.0.18.198.in-addr.arpa", "PTR")), ["SERVFAIL"]);
  t.strictSame(brief(answer(zone, "frontend.shop", "A")), ["REFUSED"]);
  t.strictSame(brief(answer(zone, "example.com", "A")), ["REFUSED"]);
});

t.test("no short names where they would be those of the internet", async t => {
  const { rules } = parseRules("*");
  const local: Service[] = ["com", "io", "shop"].map(namespace => ({
    namespace,
    name: "github",
    kind: "cluster",
    ports: [{ protocol: "tcp", port: 443 }],
    targets: ["10.96.0.9"],
    endpoints: [],
  }));
  const addresses = new VirtualAddresses(RANGE, ULA, {});
  const zone = makeZone({ services: placeServices(local, rules, addresses).placed });
  for (const name of ["github.com", "GitHub.com.", "github.io"])
    t.strictSame(brief(answer(zone, name, "A")), ["REFUSED"], name);
  for (const name of ["github.com.svc", "github.com.svc.cluster.local", "github.shop"])
    t.equal(answer(zone, name, "A").answers.length, 1, name);
});

t.test("an alias of itself ends", async t => {
  const { answers } = answer(makeZone(), "loop.shop.svc.cluster.local", "A");
  t.ok(answers.length <= 8);
});

t.test("no primary namespace: no bare names; another domain: other long names", async t => {
  const zone = makeZone({ primaryNamespace: null, domain: "k8s.test" });
  t.strictSame(brief(answer(zone, "frontend", "A")), ["REFUSED"]);
  t.strictSame(brief(answer(zone, F, "A")), ["REFUSED"]);
  t.strictSame(brief(answer(zone, "frontend.shop.svc.k8s.test", "A")), [
    "NOERROR",
    "frontend.shop.svc.k8s.test A 198.18.0.7",
  ]);
});

t.test("a service in a namespace called svc is found as well", async t => {
  const services = [
    {
      namespace: "svc",
      name: "web",
      kind: "cluster" as const,
      ports: [],
      targets: ["10.0.0.1"],
      endpoints: [],
    },
  ];
  const zone = makeZone({}, services);
  t.equal(answer(zone, "web.svc", "A").answers.length, 1);
  t.equal(answer(zone, "web.svc.svc", "A").answers.length, 1);
  t.equal(answer(zone, "web.svc.svc.cluster.local", "A").answers.length, 1);
});
