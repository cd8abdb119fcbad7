/**
 * What users get wrong, one row each: the exit code of the right category, one line that says what, one that
 * says what to do, no stack, no secret.
 */
import { chmodSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { type ErrorCategory, EXIT_CODES } from "../../src/base/index.js";
import type { Credential } from "../../src/catalog/index.js";
import { credential, Laptop, type Outcome } from "../daemon/laptop.js";

type Row = [
  what: string,
  args: string,
  category: ErrorCategory,
  message: RegExp,
  options?: { input?: string; uid?: number; env?: NodeJS.ProcessEnv; hint?: RegExp },
];

const SECRETS = [credential("team").privateKey, credential("team").presharedKey];
const asNobody = { uid: 65_534 };

function check(t: Test, { code, stdout, stderr }: Outcome, [, args, category, message, options]: Row): void {
  const lines = stderr.trimEnd().split("\n");
  t.equal(code, EXIT_CODES[category], `exit code of ${category}`);
  t.match(lines[0], /^czctl: \S/);
  t.match(lines[0], message);
  t.equal(lines.length, 2, `a message and a hint: ${stderr}`);
  t.match(lines[1], options?.hint ?? /^ {2}[A-Z`].{8,}/);
  t.notMatch(stderr, /\n\s+at /, "no stack");
  for (const secret of SECRETS) t.notOk(`${stdout}${stderr}`.includes(secret), "no secret");
  if (!args.includes("--json")) t.equal(stdout, "");
}

const usage: Row[] = [
  ["no command", "", "user", /which command/],
  ["unknown command", "frobnicate", "user", /unknown command "frobnicate"/],
  ["similar command", "statsu", "user", /unknown command "statsu"/, { hint: /Did you mean status/ }],
  ["unknown subcommand", "space frobnicate", "user", /unknown (command|argument)/],
  ["similar subcommand", "space slect x", "user", /unknown command/, { hint: /Did you mean select/ }],
  ["group without subcommand", "space", "user", /which one: space add/],
  ["another one", "consume", "user", /which one: consume all/],
  ["services alone", "services", "user", /which one: services list/],
  ["primary-namespace alone", "primary-namespace", "user", /which one/],
  ["agent alone", "agent", "user", /which one: agent init/],
  ["unknown flag", "status --frobnicate", "user", /unknown argument "frobnicate"/],
  ["unknown short flag", "status -x", "user", /unknown argument "x"/],
  ["flag without its value", "up --space", "user", /not enough arguments following: space/],
  ["argument missing", "space add", "user", /an argument is missing/],
  ["another missing", "primary-namespace select", "user", /an argument is missing/],
  ["argument too many", "space add a b", "user", /unknown argument "b"/],
  ["no number", "trace-connections --interval soon", "user", /--interval must be a number/],
  ["no agents", "space install --endpoint h:1 --dry-run --replicas 0", "user", /--replicas 0 is not/],
  ["half an agent", "space install --endpoint h:1 --dry-run --replicas 1.5", "user", /--replicas 1.5 is not/],
  ["no port", "space install --endpoint h:1 --dry-run --node-port 99999", "user", /--node-port 99999 is not/],
  ["no port for metrics", "up --metrics-port 0", "user", /--metrics-port 0 is not a port/],
  [
    "unknown level in the environment",
    "status",
    "user",
    /^czctl: CZCTL_LOG_LEVEL=loud in the environment is not one of debug, info, warn, error$/,
    { env: { CZCTL_LOG_LEVEL: "loud" }, hint: /unset CZCTL_LOG_LEVEL/ },
  ],
  [
    "unknown format in the environment",
    "space list",
    "user",
    /CZCTL_LOG_FORMAT=xml in the environment is not one of text, json/,
    { env: { CZCTL_LOG_FORMAT: "xml" } },
  ],
  [
    "no port in the environment",
    "up",
    "user",
    /CZCTL_METRICS_PORT=http in the environment is not a port/,
    { env: { CZCTL_METRICS_PORT: "http" } },
  ],
  [
    "a port too large in the environment",
    "status --json",
    "user",
    /CZCTL_METRICS_PORT=65536 in/,
    { env: { CZCTL_METRICS_PORT: "65536" } },
  ],
  [
    "an unknown offload in the environment",
    "up",
    "user",
    /^czctl: CZCTL_DISABLE_OFFLOADS=gso,lro in the environment is not a list of gso, gro, tso$/,
    { env: { CZCTL_DISABLE_OFFLOADS: "gso,lro" }, hint: /unset CZCTL_DISABLE_OFFLOADS/ },
  ],
  [
    "an unknown congestion control in the environment, for an agent",
    "agent run --dir /nonexistent",
    "user",
    /^czctl: CZCTL_CONGESTION=vegas in the environment is not one of bbr, cubic$/,
    { env: { CZCTL_CONGESTION: "vegas" } },
  ],
  [
    "neither on nor off in the environment",
    "status",
    "user",
    /^czctl: CZCTL_DEBUG=true in the environment is not one of 0, 1$/,
    { env: { CZCTL_DEBUG: "true" } },
  ],
  [
    "no address for metrics",
    "agent run --dir /nonexistent --metrics-port 9 --metrics-address here",
    "user",
    /--metrics-address here is not an address/,
  ],
  [
    "address without a port",
    "agent run --dir /nonexistent --metrics-address 127.0.0.1",
    "user",
    /metrics-address -> metrics-port/,
  ],
  ["unknown shell", "completion tcsh", "user", /invalid values/],
  ["no agent directory", "agent peers", "user", /which agent/],
  ["agent without endpoint", "agent init --dir /nonexistent", "user", /missing required argument: endpoint/],
  ["usage error as JSON", "frobnicate --json", "user", /unknown command/],
];

const files: Row[] = [
  [
    "credential file missing",
    "space add nowhere",
    "user",
    /cannot read the credential file nowhere: it does not exist/,
  ],
  ["credential is a directory", "space add /tmp", "user", /it is a directory/],
  ["credential too large", "space add DIR/large", "config", /larger than 1 MiB/],
  ["credential empty", "space add -", "config", /it is empty/, { input: "" }],
  [
    "credential cut off",
    "space add -",
    "config",
    /not JSON/,
    { input: JSON.stringify(credential("team")).slice(0, -9) },
  ],
  ["credential of another kind", "space add -", "config", /field "kind"/, { input: '{"kind":"Secret"}' }],
  [
    "credential from the future",
    "space add -",
    "config",
    /newer czctl/,
    changed(c => ({ ...c, version: 2 })),
  ],
  [
    "key too short",
    "space add -",
    "config",
    /"privateKey" must be/,
    changed(c => ({ ...c, privateKey: "AAAA" })),
  ],
  [
    "no preshared key",
    "space add -",
    "config",
    /"presharedKey" is missing/,
    changed(({ presharedKey: _, ...c }) => c),
  ],
  [
    "endpoint without port",
    "space add -",
    "config",
    /"agent.endpoint"/,
    changed(c => ({ ...c, agent: { ...c.agent, endpoint: "host" } })),
  ],
  ["absurd MTU", "space add -", "config", /"mtu" must be/, changed(c => ({ ...c, mtu: 99 }))],
  [
    "name that is a path",
    "space add - --name ../x",
    "user",
    /cannot be the name/,
    { input: JSON.stringify(credential("team")) },
  ],
  [
    "unknown space selected",
    "space select nowhere",
    "user",
    /no space "nowhere"/,
    { hint: /There is: team/ },
  ],
  ["unknown space removed", "space remove nowhere", "user", /no space "nowhere"/],
  [
    "same name, other agent",
    "space add -",
    "user",
    /already a space "team"/,
    { input: JSON.stringify(credential("team", 9)) },
  ],
  ["rules file missing", "consume apply nowhere", "user", /cannot read the rules file/],
  [
    "rule without namespace",
    "consume apply -",
    "config",
    /rules, line 2: "frontend"/,
    { input: "*.shop\nfrontend\n" },
  ],
  ["rule with capitals", "consume apply -", "config", /capital letters/, { input: "Frontend.shop" }],
  ["rule with a bad port", "consume apply -", "config", /no port/, { input: "*.shop:99999" }],
  ["several bad rules", "consume apply -", "config", /line 1: .* \(and 2 more\)/, { input: "a\nb\nc\n" }],
  [
    "editor fails",
    "consume edit",
    "environment",
    /the editor \(false\) failed/,
    { env: { EDITOR: "false" } },
  ],
  [
    "edited into nonsense",
    "consume edit",
    "config",
    /rules, line 1/,
    { env: { EDITOR: "printf 'a b\\n' >" } },
  ],
  ["bad namespace", "primary-namespace select Shop!", "user", /no namespace name/],
  [
    "state damaged",
    "space list",
    "config",
    /state.json is damaged/,
    { env: { CZCTL_STATE_DIR: "DIR/damaged" } },
  ],
  [
    "state directory is a file",
    "space list",
    "environment",
    /cannot use/,
    { env: { CZCTL_STATE_DIR: "/dev/null/x" } },
  ],
  ["no agent there", "agent run --dir DIR/nowhere", "user", /holds no agent/],
  ["agent made twice", "agent init --dir DIR/agent --endpoint 127.0.0.1:51820", "user", /agent/],
  ["agent endpoint without port", "agent init --dir DIR/new --endpoint host", "user", /not HOST:PORT/],
  [
    "catalog file missing",
    "agent run --dir DIR/agent --catalog nowhere",
    "config",
    /cannot read the catalog/,
  ],
  ["catalog file bad", "agent run --dir DIR/agent --catalog DIR/services.yaml", "config", /services.yaml/],
  ["device without a name", "agent invite --dir DIR/agent ../x", "user", /\.\.\/x/],
  ["bad grant", "agent invite --dir DIR/agent phone --allow shop", "user", /"shop": names no namespace/],
  ["unknown device", "agent revoke --dir DIR/agent nobody", "user", /no device nobody/],
];

const machine: Row[] = [
  ["status without daemon", "status", "environment", /czctl is not running/, { hint: /sudo czctl up/ }],
  ["services without daemon", "services list", "environment", /czctl is not running/],
  ["flows without daemon", "trace-connections", "environment", /czctl is not running/],
  ["consume list without daemon", "consume list", "environment", /czctl is not running/],
  ["no log yet", "logs", "environment", /there is no log yet/],
  ["as JSON", "status --json", "environment", /czctl is not running/],
  [
    "up without a space",
    "up",
    "user",
    /there is no space yet/,
    { env: { CZCTL_STATE_DIR: "DIR/empty" }, hint: /space add/ },
  ],
  ["up of an unknown space", "up --space nowhere", "user", /no space "nowhere"/],
  ["bad service range", "up --service-range 10.0.0.0/33", "user", /service range "10.0.0.0\/33"/],
  ["IPv6 service range", "up --service-range fd00::/64", "user", /service range/],
];

const unprivileged: Row[] = [
  ["up without root", "up", "user", /czctl up needs root/, { ...asNobody, hint: /sudo czctl up/ }],
  ["cleanup without root", "cleanup", "user", /czctl cleanup needs root/, asNobody],
  [
    "space add without root",
    "space add -",
    "environment",
    /no permission/,
    { ...asNobody, input: JSON.stringify(credential("team")), hint: /sudo/ },
  ],
  ["consume without root", "consume all", "environment", /no permission/, asNobody],
  ["logs without root", "logs", "environment", /no permission/, asNobody],
];

function changed(change: (credential: Credential) => unknown): { input: string } {
  return { input: JSON.stringify(change(credential("team"))) };
}

const root = process.geteuid?.() === 0;
const laptop = new Laptop();
chmodSync(laptop.dir, 0o755);
laptop.write("large", "x".repeat(1024 * 1024 + 1));
await laptop.czctl(["space", "add", laptop.writeCredential(credential("team"))]);
laptop.write("services.yaml", "namespaces: [\n");
await laptop.czctl(["agent", "init", "--dir", join(laptop.dir, "agent"), "--endpoint", "127.0.0.1:51820"]);
await laptop.czctl(["space", "list"], { env: { CZCTL_STATE_DIR: join(laptop.dir, "damaged") } });
laptop.write("damaged/state.json", `{"privateKey":"${SECRETS[0]}"`);
t.teardown(() => laptop.close());

for (const [title, rows] of Object.entries({ usage, files, machine, unprivileged })) {
  t.test(title, async t => {
    for (const row of rows) {
      const [what, args, , , options = {}] = row;
      const skip = !root && (options.uid !== undefined || args.startsWith("up")) ? "needs root" : false;
      await t.test(what, { skip }, async t => {
        const env = Object.fromEntries(
          Object.entries(options.env ?? {}).map(([k, v]) => [k, v?.replace("DIR", laptop.dir)]),
        );
        const words = args === "" ? [] : args.replaceAll("DIR", laptop.dir).split(" ");
        const outcome = await laptop.czctl(words, { ...options, env });
        check(t, outcome, row);
        if (args.includes("--json"))
          t.match(JSON.parse(outcome.stdout), { error: { code: /^[A-Z_]+$/, message: /./ } });
      });
    }
  });
}
