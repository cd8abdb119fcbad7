/** Names on the laptop: the responder through the TUN device, alone and beside a bulk transfer. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Packets } from "../dns/packets.js";
import { catalogText } from "./catalog.js";
import { type Czctl, makeTeamspace } from "./czctl.js";
import { assert, assertEqual, type Lab, lab } from "./lab.js";
import { eventually } from "./program.js";
import { startIperf } from "./programs.js";
import { addClusterAddresses } from "./topology.js";

const SPEED = "10.96.0.35";
const DNSPERF_SECONDS = 3;

const CATALOG = catalogText([
  {
    namespace: "shop",
    name: "frontend",
    clusterIps: ["10.96.0.30"],
    ports: [{ name: "http", protocol: "TCP", port: 80 }],
  },
  {
    namespace: "infra",
    name: "speed",
    clusterIps: [SPEED],
    ports: [{ name: "iperf", protocol: "TCP", port: 5201 }],
  },
]);

const QUESTIONS = `frontend.shop.svc.cluster.local A
frontend.shop.svc.cluster.local AAAA
_http._tcp.frontend.shop.svc.cluster.local SRV
speed.infra A
frontend.shop A
missing.shop.svc.cluster.local A
dns-version.cluster.local TXT
`;

/** As resolvers ask that mix letter case against forgers (0x20); the same ones each time, and none like another. */
function mixedCase(text: string, variants: number): string {
  const packets = new Packets(variants);
  const mixed = (name: string): string =>
    name.replaceAll(/[a-z]/g, each => (packets.random(2) === 0 ? each.toUpperCase() : each));
  return Array.from({ length: variants }, () => text.replaceAll(/^\S+/gm, mixed)).join("");
}

/** How many questions the data plane has answered itself, and passed on. */
async function countQuestions(czctl: Czctl): Promise<{ repeated: number; asked: number }> {
  const { "dns.repeated": repeated = 0, "dns.asked": asked = 0 } =
    (await czctl.status()).dataplane?.counters ?? {};
  return { repeated, asked };
}

/** Processor time that a process has used, in ms (proc_pid_stat(5): fields 14 and 15, in hundredths). */
function cpuMs(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}

/**
 * Questions a second; fails when an answer is lost or wrong. Other programs of a busy machine take their share
 * of that figure, so beside it stands what a question costs: processor time of the responder's process (the
 * daemon) and of the data plane (beside a bulk transfer: with that one's).
 */
async function dnsperf(
  { laptop }: Lab,
  czctl: Czctl,
  clients: number,
  questions: string = QUESTIONS,
): Promise<string> {
  const { dns, pid, dataplane } = await czctl.status();
  const server = dns[0] ?? "";
  const file = join(laptop.dir, "questions");
  writeFileSync(file, questions);
  const pids = [pid, dataplane?.pid ?? 0];
  const before = pids.map(cpuMs);
  const output = await laptop.run("dnsperf", [
    ...["-s", server, "-d", file, "-l", String(DNSPERF_SECONDS)],
    ...["-c", String(clients), "-q", "200", "-t", "3", "-T", "1"],
  ]);
  const number = (label: string): number =>
    Number(new RegExp(`${label}:\\s+([\\d.]+)`).exec(output)?.[1] ?? -1);
  const [daemonUs = 0, dataplaneUs = 0] = pids.map(
    (each, i) => ((cpuMs(each) - (before[i] as number)) * 1000) / number("Queries completed"),
  );
  assertEqual(number("Queries lost"), 0, "lost questions");
  const codes = /Response codes:\s+(.*)/.exec(output)?.[1] ?? "";
  assert(/^NOERROR \d+ .*, NXDOMAIN \d+ \([\d.]+%\)$/.test(codes), `response codes: ${codes}`);
  return `${Math.round(number("Queries per second"))} questions/s, ${(number("Average Latency \\(s\\)") * 1000).toFixed(2)} ms, ${daemonUs.toFixed(1)} µs of the daemon and ${dataplaneUs.toFixed(1)} µs of the data plane each`;
}

/**
 * Asks without a pause for a name whose answers are kept, until the hosts file has changed to `there`. The data plane may
 * be in the middle of a turn then, which reads up to 128 packets; every answer after those, and every one after the
 * first that has changed, must have changed as well.
 */
const FOLLOW = `
  const { readFileSync } = require("fs");
  const [server, question, name, there] = process.argv.slice(1);
  const socket = require("dgram").createSocket("udp4");
  const query = Buffer.from(question, "hex");
  const changed = () => readFileSync("/etc/hosts", "utf8").includes(name) === (there === "true");
  let before = 0, late = 0, after = 0, wasChanged = false;
  const ask = () => { wasChanged = changed(); socket.send(query, 53, server); };
  socket.on("message", answer => {
    const found = (answer[3] & 15) === 0;
    if (!wasChanged) before++;
    else if (String(found) !== there && (after > 0 || ++late > 128)) { console.log("stale"); process.exit(1); }
    else if (String(found) === there && ++after === 500) { console.log(before); process.exit(); }
    ask();
  });
  ask();`;

await lab(import.meta.url, async l => {
  const { laptop, cluster, check } = l;
  await addClusterAddresses(cluster, [SPEED]);
  const { czctl } = await makeTeamspace(l, CATALOG);
  const [server = ""] = (await czctl.status()).dns;
  await check(
    "A, SRV, PTR and TXT through the TUN device, over UDP and TCP",
    async () => {
      const dig = async (...words: string[]): Promise<string> =>
        (await laptop.run("dig", [`@${server}`, "+tries=1", "+time=3", "+short", ...words])).trim();
      const address = await czctl.address("frontend.shop");
      const name = "frontend.shop.svc.cluster.local.";
      for (const transport of ["+notcp", "+tcp"]) {
        assertEqual(await dig(transport, name), address, "A");
        assertEqual(await dig(transport, `_http._tcp.${name}`, "SRV"), `0 100 80 ${name}`, "SRV");
        assertEqual(await dig(transport, "-x", address), name, "PTR");
        assertEqual(await dig(transport, "dns-version.cluster.local", "TXT"), '"1.1.0"', "TXT");
      }
      assertEqual(await dig("ns.dns.cluster.local"), server, "the responder's own name");
      return undefined;
    },
    { needs: ["dig"] },
  );
  await check("a change of the rules is in the answers of the next turn", async () => {
    const name = "speed.infra.svc.cluster.local";
    const labels = name.split(".").map(label => String.fromCharCode(label.length) + label);
    const question = `000701000001000000000000${Buffer.from(`${labels.join("")}\0`).toString("hex")}00010001`;
    let asked = 0;
    for (const there of [false, true, false, true]) {
      const following = laptop.run("node", ["-e", FOLLOW, server, question, name, `${there}`]);
      await laptop.run("sleep", ["0.3"]);
      await czctl.run(["consume", "apply", "-"], { input: there ? "*\n" : "*.shop\n" });
      asked += Number(await following);
    }
    return `${asked} questions while the rules changed four times`;
  });
  await check(
    "dig: letters in any case and a cookie of its own each time, answered by the data plane",
    async () => {
      const name = "speed.infra.svc.cluster.local.";
      const before = await countQuestions(czctl);
      for (const asked of [name, name.toUpperCase(), ...mixedCase(name, 8).split(/(?<=\.)(?=speed)/i)]) {
        const said = await laptop.run("dig", [`@${server}`, "+tries=1", "+time=3", "+qr", asked]);
        assertEqual(said.match(/COOKIE: [0-9a-f]{16}$/gm)?.length, 1, "cookies, in the question alone");
        assertEqual(/^;(\S+)\s+IN\s+A\n\n;; ANSWER/m.exec(said)?.[1], asked, "the question's name");
        assert(/status: NOERROR.*\n.*ANSWER: 1/.test(said), said);
        assert(!/malformed|mismatch/i.test(said), said);
      }
      const { repeated, asked } = await countQuestions(czctl);
      assertEqual(asked - before.asked, 1, "questions passed on");
      assertEqual(repeated - before.repeated, 9, "questions answered here");
      return undefined;
    },
    { needs: ["dig"] },
  );
  await check("dnsperf, 20 clients", () => dnsperf(l, czctl, 20), { needs: ["dnsperf"] });
  await check(
    "dnsperf, 20 clients, letters in random case",
    async () => {
      const before = await countQuestions(czctl);
      const said = await dnsperf(l, czctl, 20, mixedCase(QUESTIONS, 500));
      const { asked } = await countQuestions(czctl);
      // The first ones are all asked before one is answered.
      assert(asked - before.asked < 500, `${asked - before.asked} questions passed on`);
      return `${said}; ${asked - before.asked} passed on`;
    },
    { needs: ["dnsperf"] },
  );
  await check(
    "dnsperf, 20 clients, beside a bulk download",
    async () => {
      await startIperf(cluster, SPEED);
      const bulk = laptop.exec("iperf3", [
        ...["--client", "speed.infra", "--json", "--reverse"],
        ...["--time", String(DNSPERF_SECONDS + 2)],
      ]);
      await laptop.run("sleep", ["1"]);
      const said = await dnsperf(l, czctl, 20);
      const { end } = JSON.parse((await bulk).stdout) as {
        end: { sum_received: { bits_per_second: number } };
      };
      return `${said}; ${(end.sum_received.bits_per_second / 1e9).toFixed(2)} Gbit/s`;
    },
    { needs: ["dnsperf", "iperf3"] },
  );
  await check("a thousand one-shot askers leave no flow behind for long", async () => {
    const script = `
      const dgram = require("dgram"), query = Buffer.from(process.argv[2], "hex");
      let left = 1000;
      const one = () => {
        const socket = dgram.createSocket("udp4");
        socket.on("message", () => { socket.close(); if (--left === 0) return; if (left > 49) one(); });
        socket.send(query, 53, process.argv[1]);
      };
      for (let i = 0; i < 50; i++) one();`;
    const name = Buffer.from("\u0008frontend\u0004shop\u0000", "latin1").toString("hex");
    await laptop.run("node", ["-e", script, server, `000701000001000000000000${name}00010001`], {
      timeoutMs: 20_000,
    });
    const flows = async (): Promise<number> => (await czctl.status()).dataplane?.flows.udp ?? -1;
    const before = await flows();
    await eventually("flows of one question are forgotten", async () =>
      assertEqual(await flows(), 0, "UDP flows"),
    );
    return `${before} UDP flows right after`;
  });
});
