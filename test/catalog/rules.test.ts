import t from "tap";
import {
  formatRule,
  grantName,
  isDenied,
  markDenied,
  matchService,
  missingRules,
  parseGrant,
  parseRules,
  restrictService,
  type Service,
} from "../../src/catalog/index.js";

function service(
  name: string,
  namespace: string,
  ...ports: [string | undefined, number, ("tcp" | "udp")?][]
): Service {
  return {
    namespace,
    name,
    kind: "cluster",
    ports: ports.map(([portName, port, protocol]) => ({
      ...(portName === undefined ? {} : { name: portName }),
      protocol: protocol ?? "tcp",
      port,
    })),
    targets: ["10.96.0.1"],
    endpoints: [],
  };
}

const SERVICES: Service[] = [
  service("frontend", "shop", ["http", 80], ["metrics", 9090]),
  service("db", "shop", [undefined, 5432]),
  service("frontend", "blog", ["http", 80]),
  service("dns", "kube-system", ["dns", 53, "udp"], ["dns-tcp", 53]),
];

const FRONTEND_SHOP = ["frontend.shop:http", "frontend.shop:metrics"];
const ALL = [
  ...FRONTEND_SHOP,
  "db.shop:5432",
  "frontend.blog:http",
  "dns.kube-system:dns",
  "dns.kube-system:dns-tcp",
];
const without = (...names: string[]) => ALL.filter(name => !names.some(part => name.includes(part)));

const CASES: [title: string, rules: string, consumed: string[]][] = [
  ["no rules: nothing", "", []],
  ["service.namespace", "frontend.shop", FRONTEND_SHOP],
  ["namespace/service is the same", "shop/frontend", FRONTEND_SHOP],
  ["*.namespace", "*.shop", [...FRONTEND_SHOP, "db.shop:5432"]],
  ["namespace/* is the same", "shop/*", [...FRONTEND_SHOP, "db.shop:5432"]],
  ["* is everything", "*", ALL],
  ["a port by number", "frontend.shop:80", ["frontend.shop:http"]],
  ["a port by name", "shop/frontend:metrics", ["frontend.shop:metrics"]],
  ["a number means both protocols", "*:53", ["dns.kube-system:dns", "dns.kube-system:dns-tcp"]],
  ["a port that is not there", "frontend.shop:81", []],
  ["everything but one service", "*\n!frontend.shop", without("frontend.shop")],
  ["everything but one namespace", "*\n!*.shop", without("shop")],
  ["everything but one port", "*\n!*:metrics", without("metrics")],
  ["exclusion in the slash form", "*\n!shop/*", without("shop")],
  ["the last match wins: exclude, then include", "*\n!*.shop\ndb.shop", without("frontend.shop")],
  ["the last match wins: a general rule after a special one", "!frontend.shop\n*", ALL],
  ["the last match wins per port", "frontend.shop\n!frontend.shop:9090", ["frontend.shop:http"]],
  ["… and back in", "!frontend.shop\nfrontend.shop:http", ["frontend.shop:http"]],
  ["only exclusions: nothing", "!frontend.shop", []],
  ["!* forgets all before", "*\n!*\ndb.shop", ["db.shop:5432"]],
  [
    "BOM, CRLF, blank lines, comments, blanks around",
    "\uFEFF# all of it\r\n\r\n  *.blog  \r\n#x\r\n",
    ["frontend.blog:http"],
  ],
  ["a blank after !", "*\n! *.shop", without("shop")],
];

t.test("the last rule that matches a port decides", async t => {
  for (const [title, text, expected] of CASES) {
    const { rules, errors } = parseRules(text);
    t.strictSame(errors, [], title);
    const consumed = SERVICES.flatMap(s =>
      matchService(rules, s).map(port => `${s.name}.${s.namespace}:${port.name ?? port.port}`),
    );
    t.strictSame(consumed, expected, title);
  }
});

t.test("what is no rule is told with its line and a way out", async t => {
  const bad: [text: string, message: RegExp, hint: RegExp][] = [
    ["frontend", /"frontend": names no namespace/, /service\.namespace/],
    ["frontend.shop.svc.cluster.local", /too many parts/, /write frontend\.shop$/],
    ["frontend.*", /\* for the namespace/, /name the namespace/],
    ["*.*", /\* for the namespace/, /\* alone/],
    ["*/frontend", /\* for the namespace/, /name the namespace/],
    ["Frontend.shop", /"Frontend" has capital letters/, /write frontend$/],
    ["front*.shop", /\* within a name/, /\*\.namespace/],
    ["front_end.shop", /"front_end" is no Kubernetes name/, /letters/],
    ["-x.shop", /no Kubernetes name/, /letters/],
    [`${"a".repeat(64)}.shop`, /no Kubernetes name/, /63/],
    [".shop", /empty name/, /letters/],
    ["frontend.", /empty name/, /letters/],
    ["frontend.shop:", /no port/, /:80/],
    ["frontend.shop:0", /no port/, /:80/],
    ["frontend.shop:65536", /no port/, /:80/],
    ["frontend.shop:80:90", /no port/, /:80/],
    ["frontend.shop db.shop", /space/, /line of its own/],
    ["!", /names no namespace/, /write/],
    ["!!*.shop", /more than one !/, /one ! excludes/],
    ["\x1b[31mx.shop", /"\?\[31mx/, /letters/],
  ];
  for (const [text, message, hint] of bad) {
    const { errors } = parseRules(`# first\n${text}\n*`);
    t.equal(errors.length, 1, text);
    t.match(errors[0], { line: 2, message, hint }, text);
    t.match(errors[0]?.message, /^[ -~]+$/, text);
  }
  t.strictSame(
    parseRules("x\n*\ny\n").errors.map(error => error.line),
    [1, 3],
    "all errors at once",
  );
});

t.test("formatRule gives the canonical spelling, which parses to the same rule", async t => {
  const pairs = [
    ["shop/frontend:80", "frontend.shop:80"],
    ["!shop/*", "!*.shop"],
    ["*", "*"],
    ["!*:http", "!*:http"],
  ] as const;
  for (const [text, canonical] of pairs) {
    const { rules } = parseRules(text);
    t.equal(formatRule(rules[0]!), canonical);
    t.strictSame(parseRules(canonical).rules, rules);
  }
});

t.test("a service without ports is reached by rules without a port", async t => {
  const external: Service = {
    ...service("billing", "shop"),
    kind: "external",
    externalName: "x.example.com",
  };
  const reached = (text: string) => restrictService(parseRules(text).rules, external) !== null;
  t.equal(reached("*"), true);
  t.equal(reached("billing.shop"), true);
  t.equal(reached("billing.shop:80"), false);
  t.equal(reached("*\n!*:80"), true, "a port's exclusion is not the service's");
  t.equal(reached("*\n!billing.shop"), false);
});

t.test("restrictService leaves only the ports that are reached", async t => {
  const { rules } = parseRules("*:80");
  t.strictSame(restrictService(rules, SERVICES[0]!)?.ports, [{ name: "http", protocol: "tcp", port: 80 }]);
  t.equal(restrictService(rules, SERVICES[1]!), null);
});

t.test("grants are rules; equal ones have equal names", async t => {
  t.equal(grantName(parseGrant([])), "*", "no rule grants everything");
  t.equal(grantName(parseGrant(["shop/*", "!db.shop"])), grantName(parseGrant(["*.shop", "!shop/db"])));
  t.throws(() => parseGrant(["shop"]), {
    code: "GRANT_INVALID",
    category: "user",
    hint: /service\.namespace/,
  });
});

t.test("markDenied keeps every port and says which are not reached, and what would reach them", async t => {
  const seen = (text: string, shown: Service) => {
    const marked = markDenied(parseRules(text).rules, shown);
    if (marked === null) return null;
    const ports = marked.ports.map(port => (port.denied ? `!${port.port}` : `${port.port}`)).join(" ");
    return [ports, isDenied(marked), ...missingRules(marked).map(formatRule)];
  };
  const [frontend, db] = SERVICES as [Service, Service];
  t.same(seen("*", frontend), ["80 9090", false]);
  t.same(seen("*:80", frontend), ["80 !9090", false, "frontend.shop:9090"]);
  t.same(seen("db.shop", frontend), ["!80 !9090", true, "frontend.shop"]);
  t.same(seen("", db), ["!5432", true, "db.shop"]);
  const external: Service = {
    ...service("billing", "shop"),
    kind: "external",
    externalName: "x.example.com",
  };
  t.same(seen("*", external), ["", false]);
  t.equal(seen("", external), null, "an alias has no port to be refused at");
  for (const text of ["", "db.shop", "*:80"]) {
    const rules = missingRules(markDenied(parseRules(text).rules, frontend) as Service);
    const all = [...parseRules(text).rules, ...rules];
    t.equal(matchService(all, frontend).length, 2, `what is missing is enough: ${text}`);
  }
});
