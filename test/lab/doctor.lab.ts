/** `czctl doctor` on laptops that are really broken: each time the true cause is named, with something to do. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatCredential, parseCredential } from "../../src/catalog/index.js";
import type { Finding } from "../../src/daemon/index.js";
import { catalogText } from "./catalog.js";
import { Agent, CLI, Czctl } from "./czctl.js";
import { assert, assertEqual, type Lab, lab } from "./lab.js";
import { eventually, type Result } from "./program.js";
import { LAPTOP_HOSTS } from "./topology.js";
import { makeKeyPair } from "./wireguard-go.js";

const CATALOG = catalogText([
  {
    namespace: "shop",
    name: "frontend",
    clusterIps: ["10.96.0.30"],
    ports: [{ name: "http", protocol: "TCP", port: 80 }],
  },
]);
const NSSWITCH = "passwd: files\ngroup: files\nhosts: files dns\n";
const ENVIRONMENT_EXIT = 4;
/** WireGuard's attempts and a hung data plane take seconds to be given up. */
const NOTICED_MS = 30_000;

interface Wanted {
  check: string;
  level: Finding["level"];
  text: RegExp;
}

function judge({ code, stdout, stderr }: Result, { check, level, text }: Wanted): string {
  assert(stdout.startsWith("{"), `doctor: exit ${code}: ${stderr}`);
  const { findings } = JSON.parse(stdout) as { findings: Finding[] };
  const found = findings.find(finding => finding.check === check);
  const said = JSON.stringify(findings.filter(finding => finding.level !== "ok"));
  assert(found?.level === level && text.test(found.text), `${check}: ${JSON.stringify(found)}; all: ${said}`);
  assert(level === "ok" || (found.hint ?? "") !== "", "nothing to do");
  assertEqual(
    code,
    findings.some(finding => finding.level === "problem") ? ENVIRONMENT_EXIT : 0,
    "exit code",
  );
  return found.text;
}

class Patient {
  readonly lab: Lab;
  readonly czctl: Czctl;

  constructor(l: Lab) {
    this.lab = l;
    this.czctl = new Czctl(l.laptop);
  }

  /** Until the doctor says so: some things take a moment to be noticed. */
  async shows(wanted: Wanted): Promise<string> {
    const look = async (): Promise<string> => judge(await this.czctl.exec(["doctor", "--json"]), wanted);
    return eventually("the doctor's finding", look, NOTICED_MS, 200);
  }

  check(name: string, body: () => Promise<string | undefined>, needsRoot = false): Promise<boolean> {
    return this.lab.check(name, body, { needsRoot });
  }
}

async function stopped(p: Patient): Promise<void> {
  const { laptop } = p.lab;
  await p.check("no space yet", () => p.shows({ check: "spaces", level: "problem", text: /no space yet/ }));
  await p.check("no TUN device to open", async () => {
    const hide = 'mount --bind /dev/null /dev/net/tun && exec "$@"';
    const args = ["--mount", "sh", "-c", hide, "sh", process.execPath, CLI, "doctor", "--json"];
    const wanted = { check: "TUN device", level: "ok" as const, text: /./ };
    const result = await laptop.exec("unshare", args);
    // /dev/null opens; what cannot be is a directory.
    judge(result, wanted);
    const directory = hide.replace("--bind /dev/null", "-t tmpfs t").replace("/dev/net/tun", "/dev/net");
    return judge(await laptop.exec("unshare", args.with(3, directory)), {
      check: "TUN device",
      level: "problem",
      text: /offers no TUN devices/,
    });
  });
  await p.check("every service range is taken", async () => {
    const ranges = ["198.18.0.0/15", "246.246.0.0/16", "100.127.0.0/16"];
    await laptop.ip(ranges.map(range => `route add blackhole ${range}\n`).join(""));
    const said = await p.shows({
      check: "service range",
      level: "problem",
      text: /no service range is free/,
    });
    await laptop.ip(ranges.map(range => `route del blackhole ${range}\n`).join(""));
    return said;
  });
}

async function files(p: Patient): Promise<void> {
  const { laptop } = p.lab;
  for (const [name, hosts, level, text] of [
    ["programs do not look into the hosts file", "dns", "problem", /do not look into the hosts file/],
    ["DNS is asked before the hosts file", "dns files", "warning", /before the hosts file/],
  ] as const) {
    await p.check(name, async () => {
      laptop.writeEtc("nsswitch.conf", `hosts: ${hosts}\n`);
      const said = await p.shows({ check: "resolver", level, text });
      laptop.writeEtc("nsswitch.conf", NSSWITCH);
      return said;
    });
  }
  await p.check("a hosts file that is read-only", async () => {
    await laptop.run("sh", ["-ec", "mount -o remount,bind,ro /etc/hosts"]);
    const said = await p.shows({ check: "hosts file", level: "problem", text: /cannot be written: EROFS/ });
    await laptop.run("sh", ["-ec", "mount -o remount,bind,rw /etc/hosts"]);
    return said;
  });
  await p.check("one marker of our section is gone", async () => {
    laptop.writeEtc("hosts", `${LAPTOP_HOSTS}\n# CODEZERO\n198.18.0.7 a.b.svc\n`);
    const said = await p.shows({ check: "hosts file", level: "problem", text: /markers .* damaged/ });
    laptop.writeEtc("hosts", LAPTOP_HOSTS);
    return said;
  });
}

async function agents(p: Patient, credential: string): Promise<void> {
  const { laptop } = p.lab;
  const cases: [
    name: string,
    space: string,
    text: RegExp,
    change: (text: ReturnType<typeof parseCredential>) => void,
  ][] = [
    [
      "nobody listens at the agent's port",
      "closed",
      /nothing listens|no answer/,
      c => (c.agent.endpoint = "203.0.113.10:9"),
    ],
    ["the agent's name is unknown", "noname", /resolve/, c => (c.agent.endpoint = "agent.invalid:51820")],
    ["another agent's key", "wrongkey", /no answer|key/, c => (c.agent.publicKey = makeKeyPair().publicKey)],
  ];
  for (const [name, space, text, change] of cases) {
    await p.check(name, async () => {
      const changed = parseCredential(readFileSync(credential, "utf8"));
      changed.teamspace = space;
      change(changed);
      const file = join(laptop.dir, space);
      writeFileSync(file, formatCredential(changed), { mode: 0o600 });
      await p.czctl.run(["space", "add", file]);
      await p.czctl.run(["space", "select", space]);
      // In the foreground it goes on trying.
      const running = laptop.spawn(process.execPath, [CLI, "up", "--foreground"]);
      const said = await p.shows({ check: "agent", level: "problem", text });
      await p.czctl.run(["down"]);
      await running.exited;
      return said;
    });
  }
}

async function connected(p: Patient, agent: Agent): Promise<void> {
  const { laptop } = p.lab;
  await p.check("healthy: no problem, and the tunnel measured", async () => {
    const { code, stdout } = await p.czctl.exec(["doctor", "--throughput"]);
    assertEqual(code, 0, stdout);
    assert(!stdout.includes("✗"), stdout);
    const measured = stdout.split("\n").filter(line => /(round trip|throughput|path MTU):/.test(line));
    assertEqual(measured.length, 3, "measurements");
    return measured.map(line => line.slice(2)).join("; ");
  });
  await p.check(
    "somebody who may not talk to the daemon",
    async () => {
      const args = [
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
        process.execPath,
        CLI,
        "doctor",
        "--json",
      ];
      return judge(await laptop.exec("setpriv", args), {
        check: "daemon",
        level: "problem",
        text: /permission/,
      });
    },
    true,
  );
  await p.check("the data plane hangs", async () => {
    const pid = (await p.czctl.status()).dataplane?.pid ?? 0;
    process.kill(pid, "SIGSTOP");
    try {
      return await p.shows({ check: "data plane", level: "problem", text: /does not answer/ });
    } finally {
      process.kill(pid, "SIGCONT");
      await p.czctl.waitUntilConnected(10_000);
    }
  });
  await p.check("the data plane has died", async () => {
    process.kill((await p.czctl.status()).dataplane?.pid ?? 0, "SIGKILL");
    return p.shows({ check: "data plane", level: "warning", text: /started again 1 times/ });
  });
  await p.check("the agent is gone", async () => {
    await agent.program?.stop();
    const said = await p.shows({ check: "agent", level: "problem", text: /./ });
    await agent.start();
    await p.czctl.waitUntilConnected(20_000);
    return said;
  });
}

async function remains(p: Patient): Promise<void> {
  const { laptop } = p.lab;
  await p.check("a VPN took the range that the user chose", async () => {
    await p.czctl.up(["--service-range", "198.19.0.0/16"]);
    await laptop.ip("route add 198.19.128.0/17 via 192.0.2.1\n");
    const said = await p.shows({ check: "service range", level: "problem", text: /198\.19\.128\.0\/17/ });
    await laptop.ip("route del 198.19.128.0/17 via 192.0.2.1\n");
    await p.czctl.run(["down"]);
    return said;
  });
  await p.check("no offloads", async () => {
    await p.czctl.run(["up"], { env: { CZCTL_DISABLE_OFFLOADS: "gso,tso" }, timeoutMs: 20_000 });
    const said = await p.shows({ check: "offloads", level: "warning", text: /gso, tso/ });
    await p.czctl.run(["down"]);
    return said;
  });
  await p.check("what a crash of everything left", async () => {
    await p.czctl.up();
    await p.czctl.killAll();
    const said = await p.shows({ check: "hosts file", level: "problem", text: /of an earlier run/ });
    await p.shows({ check: "remains", level: "warning", text: /socket/ });
    await p.czctl.run(["cleanup"]);
    await p.shows({ check: "remains", level: "ok", text: /nothing/ });
    return said;
  });
}

await lab(import.meta.url, async l => {
  const patient = new Patient(l);
  await stopped(patient);
  await files(patient);
  const agent = await Agent.make(l.sandbox, l.cluster, { catalog: CATALOG });
  const credential = await agent.invite("laptop");
  await agents(patient, credential);
  await patient.czctl.run(["space", "add", credential]);
  await patient.czctl.run(["space", "select", parseCredential(readFileSync(credential, "utf8")).teamspace]);
  await patient.czctl.up();
  await patient.czctl.waitUntilConnected();
  await connected(patient, agent);
  await patient.czctl.run(["down"]);
  await remains(patient);
});
