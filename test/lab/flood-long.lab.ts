/**
 * `npm run lab:flood`: 50,000 initiations a second against the agent beside a download, of every kind, and what
 * they leave of its rate.
 *
 * The sender of the flood and the kernel's way of its datagrams take their part of the machine as well, which is
 * not the agent's doing. So the measure is a download beside the same flood to a port of the agent's host where a
 * packet filter drops it, before and after; the download alone is told too.
 */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseCredential } from "../../src/catalog/index.js";
import { catalogText } from "./catalog.js";
import { Agent, Czctl } from "./czctl.js";
import { assert, type Lab, lab } from "./lab.js";
import { AGENT_ADDRESS, AGENT_PORT, addClusterAddresses } from "./topology.js";

const SERVICE = fileURLToPath(new URL("../../demo/service.js", import.meta.url));
const FLOODER = fileURLToPath(new URL("flooder.js", import.meta.url));
const FRONTEND = "10.96.0.30";
const URL_ENDLESS = "http://frontend.shop/bytes/1000000000000";
const PER_SECOND = 50_000;
const SECONDS = 10;
const WARM_UP_SECONDS = 5;
const KINDS = ["forged", "mac1", "mac2"] as const;
const SINK_PORT = 9;
const KEPT_SHARE = 0.7;
/** What floods may add to the agent's data plane. */
const MEMORY_BYTES = 64 << 20;
const TICKS_PER_SECOND = 100;

interface Measured {
  /** The median of the seconds: what else the machine does shows in single ones. */
  bytesPerSecond: number;
  mean: number;
  /** Of one core, the agent's data plane. */
  agentShare: number;
  /** Datagrams that overflowed a buffer on the agent's host. */
  overflowed: number;
}

function processTicks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
  return Number(fields[11]) + Number(fields[12]);
}

function residentBytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) * 1024;
}

async function overflowed(l: Lab): Promise<number> {
  const [names = "", values = ""] = (await l.cluster.run("cat", ["/proc/net/snmp"]))
    .split("\n")
    .filter(line => line.startsWith("Udp:"));
  return Number(values.split(" ")[names.split(" ").indexOf("RcvbufErrors")]);
}

/** Bytes that came out of the laptop's device. */
async function received(l: Lab): Promise<number> {
  const devices = await l.laptop.run("cat", ["/proc/net/dev"]);
  return Number(/czctl0:\s*(\d+)/.exec(devices)?.[1]);
}

async function measure(l: Lab, pid: number, seconds: number): Promise<Measured> {
  const [ticks, lost, first] = [processTicks(pid), await overflowed(l), await received(l)];
  const start = performance.now();
  const rates: number[] = [];
  let [at, bytes] = [start, first];
  while (rates.length < seconds) {
    await new Promise(resolve => setTimeout(resolve, 1_000));
    const [nowBytes, now] = [await received(l), performance.now()];
    rates.push(((nowBytes - bytes) * 1000) / (now - at));
    [at, bytes] = [now, nowBytes];
  }
  const took = (at - start) / 1000;
  return {
    bytesPerSecond: rates.sort((a, b) => a - b)[rates.length >> 1] ?? 0,
    mean: (bytes - first) / took,
    agentShare: (processTicks(pid) - ticks) / TICKS_PER_SECOND / took,
    overflowed: (await overflowed(l)) - lost,
  };
}

async function besideFlood(l: Lab, pid: number, key: string, kind: string, port: number): Promise<Measured> {
  const args = [FLOODER, kind, AGENT_ADDRESS, port, key, PER_SECOND, SECONDS + 1].map(String);
  const flooder = l.internet.spawn(process.execPath, args);
  await flooder.waitForLine(/flooding/);
  const measured = await measure(l, pid, SECONDS);
  const [, sent, ms] = await flooder.waitForLine(/sent (\d+) in (\d+) ms/);
  assert((Number(sent) * 1000) / Number(ms) > 0.95 * PER_SECOND, `only ${sent} were sent in ${ms} ms`);
  return measured;
}

const gigabits = (bytes: number): string => ((bytes * 8) / 1e9).toFixed(2);
const percent = (share: number): string => `${(share * 100).toFixed(0)} %`;
const describe = (m: Measured): string =>
  `${gigabits(m.bytesPerSecond)} Gbit/s (mean ${gigabits(m.mean)}), the agent busy for ${percent(m.agentShare)} of a core, ${m.overflowed} datagrams overflowed`;

await lab(import.meta.url, async l => {
  const { laptop, cluster, sandbox } = l;
  let agent: Agent | undefined;
  let key = "";
  const needs = ["/dev/net/tun", "wg", "curl", "nft"];
  if (process.env.CZCTL_LONG !== "1") needs.push("CZCTL_LONG=1");
  const ready = await l.check(
    "czctl, an agent, and a port that drops",
    async () => {
      await addClusterAddresses(cluster, [FRONTEND]);
      const server = cluster.spawn(process.execPath, [SERVICE, "http", FRONTEND, "80", "frontend"]);
      await server.waitForLine(/ready/);
      await cluster.run("nft", [
        `add table inet sink; add chain inet sink in { type filter hook input priority 0; }; add rule inet sink in udp dport ${SINK_PORT} drop`,
      ]);
      const ports = [{ name: "http", protocol: "TCP" as const, port: 80 }];
      const catalog = catalogText([{ namespace: "shop", name: "frontend", clusterIps: [FRONTEND], ports }]);
      agent = await Agent.make(sandbox, cluster, { catalog });
      const czctl = new Czctl(laptop);
      const credential = await agent.invite("laptop");
      key = parseCredential(readFileSync(credential, "utf8")).agent.publicKey;
      await czctl.run(["space", "add", credential]);
      await czctl.up();
      await czctl.waitUntilConnected();
      return undefined;
    },
    { needs },
  );
  if (!ready || agent === undefined) return;
  const pid = agent.dataplanePid();
  const curl = laptop.spawn("curl", ["-sS", "-o", "/dev/null", URL_ENDLESS]);
  await measure(l, pid, WARM_UP_SECONDS);
  const alone = await measure(l, pid, SECONDS);
  l.note(`a download alone: ${describe(alone)}`);
  const control = (): Promise<Measured> => besideFlood(l, pid, key, "forged", SINK_PORT);
  const before = residentBytes(pid);
  let previous = await control();
  for (const kind of KINDS) {
    const name = `${PER_SECOND} initiations/s for ${SECONDS} s, ${kind}: the download keeps its rate`;
    await l.check(name, async () => {
      const during = await besideFlood(l, pid, key, kind, AGENT_PORT);
      const grown = residentBytes(pid) - before;
      const [first, second] = [previous, await control()];
      previous = second;
      l.note(`beside the flood that is dropped, before: ${describe(first)}`);
      l.note(`beside the flood at the agent:            ${describe(during)}`);
      l.note(`beside the flood that is dropped, after:  ${describe(second)}`);
      const kept = (2 * during.bytesPerSecond) / (first.bytesPerSecond + second.bytesPerSecond);
      const figures = `${percent(kept)} kept (${percent(during.bytesPerSecond / alone.bytesPerSecond)} of alone), memory +${(grown / 1e6).toFixed(1)} MB`;
      assert(kept >= KEPT_SHARE, figures);
      assert(curl.running, `the download ended\n${curl.tail()}`);
      assert(grown < MEMORY_BYTES, figures);
      return figures;
    });
  }
});
