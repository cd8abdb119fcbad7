/**
 * Questions a second by dnsperf, 20 sockets: our responder through the TUN device, beside dnsmasq and unbound on the
 * laptop's loopback with the same names. Alone, and beside a download through czctl's tunnel, which takes
 * the same share of the machine from each.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { catalogText } from "../../test/lab/catalog.js";
import { type Czctl, makeTeamspace } from "../../test/lab/czctl.js";
import type { Host } from "../../test/lab/host.js";
import { startIperf } from "../../test/lab/programs.js";
import type { Sandbox } from "../../test/lab/sandbox.js";
import type { Topology } from "../../test/lab/topology.js";
import { type Contender, type Running, SERVICE_ADDRESS, SERVICE_PORT } from "../contender.js";
import type { Scenario } from "../scenario.js";

const DOMAIN = "cluster.local";
const NAMES: readonly string[] = Array.from({ length: 100 }, (_, i) => `svc-${i}.shop.svc.${DOMAIN}`);
const OUTSTANDING = 200;
const LOST_PERCENT_MAX = 1;
/** For the download to be at its speed, and to outlast the questions. */
const MARGIN_SECONDS = 1;
const SERVERS = { dnsmasq: "127.0.0.41", unbound: "127.0.0.42" } as const;

/** The tunnel that the download runs through, the same for all. */
async function startTunnel(sandbox: Sandbox, { laptop, cluster }: Topology): Promise<Czctl> {
  const port = { name: "tcp", protocol: "TCP" as const, port: SERVICE_PORT };
  const catalog = catalogText([
    { namespace: "bench", name: "speed", clusterIps: [SERVICE_ADDRESS], ports: [{ ...port }] },
    ...NAMES.map((_, i) => ({
      namespace: "shop",
      name: `svc-${i}`,
      clusterIps: [`10.97.0.${i}`],
      ports: [{ ...port }],
    })),
  ]);
  return (await makeTeamspace({ sandbox, laptop, cluster }, catalog)).czctl;
}

function contender(
  name: string,
  start: (laptop: Host, czctl: Czctl) => Promise<string>,
  needs: string[],
): Contender {
  return {
    name,
    needs: ["/dev/net/tun", ...needs],
    async start(sandbox, topology): Promise<Running> {
      const czctl = await startTunnel(sandbox, topology);
      return { target: await start(topology.laptop, czctl), pids: async () => [] };
    },
  };
}

const czctl = contender("czctl", async (_laptop, running) => (await running.status()).dns[0] as string, []);

const dnsmasq = contender(
  "dnsmasq",
  async laptop => {
    const records = NAMES.map((name, i) => `--host-record=${name},198.18.9.${i}`);
    laptop.spawn("dnsmasq", [
      ...[
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--pid-file=",
        "--user=root",
        "--no-resolv",
        "--no-hosts",
      ],
      ...["--bind-interfaces", `--listen-address=${SERVERS.dnsmasq}`, `--local=/${DOMAIN}/`, ...records],
    ]);
    await laptop.waitForPort(53);
    return SERVERS.dnsmasq;
  },
  ["dnsmasq"],
);

const unbound = contender(
  "unbound",
  async laptop => {
    const file = join(laptop.dir, "unbound.conf");
    mkdirSync(join(laptop.dir, "unbound"));
    const lines = [
      "server:",
      ...[
        'username: ""',
        'chroot: ""',
        'pidfile: ""',
        "use-syslog: no",
        "do-daemonize: no",
        "num-threads: 1",
      ],
      ...[
        `directory: "${laptop.dir}/unbound"`,
        `interface: ${SERVERS.unbound}`,
        `local-zone: "${DOMAIN}." static`,
      ],
      ...NAMES.map((name, i) => `local-data: "${name}. 5 IN A 198.18.9.${i}"`),
      "remote-control:",
      "control-enable: no",
    ];
    writeFileSync(file, `${lines.join("\n")}\n`);
    laptop.spawn("unbound", ["-d", "-c", file]);
    await laptop.waitForPort(53);
    return SERVERS.unbound;
  },
  ["unbound"],
);

export const dns: Scenario = {
  name: "dns",
  rounds: ["alone", "beside a download"],
  needs: ["dnsperf", "iperf3"],
  maxRuns: 3,
  contenders: [czctl, dnsmasq, unbound],
  async prepare({ laptop, cluster }) {
    const questions = NAMES.flatMap(name => [`${name} A`, `${name} A`, `${name} AAAA`, `no-${name} A`]);
    writeFileSync(join(laptop.dir, "questions"), `${questions.join("\n")}\n`);
    await startIperf(cluster, SERVICE_ADDRESS, SERVICE_PORT);
  },
  async measure(round, { laptop }, { target }, seconds) {
    if (round === "alone")
      return [{ variant: round, unit: "questions/s", value: await ask(laptop, target, seconds) }];
    const duration = String(seconds + 2 * MARGIN_SECONDS);
    const client = ["--client", "speed.bench", "--json", "--reverse", "--time", duration];
    const download = laptop.exec("iperf3", client, { timeoutMs: (seconds + 20) * 1000 });
    await new Promise(resolve => setTimeout(resolve, MARGIN_SECONDS * 1000));
    const value = await ask(laptop, target, seconds);
    const { end } = JSON.parse((await download).stdout) as {
      end: { sum_received: { bits_per_second: number } };
    };
    return [
      { variant: round, unit: "questions/s", value },
      { variant: "the download", unit: "Gbit/s", value: end.sum_received.bits_per_second / 1e9 },
    ];
  },
};

/** Fails when more than a few are lost (a full socket buffer), or another code than NOERROR and NXDOMAIN comes back. */
async function ask(laptop: Host, server: string, seconds: number): Promise<number> {
  const load = ["-c", "20", "-q", String(OUTSTANDING), "-T", "1", "-t", "3", "-l", String(seconds)];
  const output = await laptop.run("dnsperf", ["-s", server, "-d", join(laptop.dir, "questions"), ...load]);
  const rate = /Queries per second:\s+([\d.]+)/.exec(output)?.[1];
  const lost = Number(/Queries lost:\s+\d+ \(([\d.]+)%\)/.exec(output)?.[1] ?? 100);
  if (rate === undefined || lost > LOST_PERCENT_MAX || /SERVFAIL|REFUSED/.test(output)) {
    throw new Error(output.slice(output.indexOf("Statistics:")));
  }
  return Number(rate);
}
