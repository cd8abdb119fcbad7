/** Programs that people use, through the tunnel by name, byte for byte. */
import { createHash, randomBytes } from "node:crypto";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { catalogText, type LabService } from "./catalog.js";
import { type Agent, Czctl, makeTeamspace } from "./czctl.js";
import { assert, assertEqual, type Lab, lab } from "./lab.js";
import { eventually } from "./program.js";
import {
  postgresBin,
  runIperf,
  startDnsmasq,
  startIperf,
  startNginx,
  startPostgres,
  startRedis,
} from "./programs.js";
import { AGENT_ADDRESS, AGENT_ADDRESS_6, addClusterAddresses } from "./topology.js";

const WEB = fileURLToPath(new URL("web.js", import.meta.url));
const BIG_BYTES = 200 * 1024 * 1024;
const ROWS = 120_000;
const IPERF_SECONDS = 3;

const ADDRESS = {
  files: "10.96.0.30",
  files6: "fd00:96::30",
  web: "10.96.0.31",
  orders: "10.96.0.32",
  cache: "10.96.0.33",
  dns: "10.96.0.34",
  speed: "10.96.0.35",
  speed6: "fd00:96::35",
} as const;

const tcp = (port: number, name = `p${port}`) => ({ name, protocol: "TCP" as const, port });
const udp = (port: number, name = `u${port}`) => ({ name, protocol: "UDP" as const, port });

const SERVICES: LabService[] = [
  { namespace: "shop", name: "files", clusterIps: [ADDRESS.files, ADDRESS.files6], ports: [tcp(80)] },
  { namespace: "shop", name: "web", clusterIps: [ADDRESS.web], ports: [tcp(8080), tcp(8081)] },
  { namespace: "shop", name: "orders-db", clusterIps: [ADDRESS.orders], ports: [tcp(5432)] },
  { namespace: "shop", name: "cache", clusterIps: [ADDRESS.cache], ports: [tcp(6379)] },
  { namespace: "infra", name: "dns", clusterIps: [ADDRESS.dns], ports: [tcp(53), udp(53)] },
  {
    namespace: "infra",
    name: "speed",
    clusterIps: [ADDRESS.speed, ADDRESS.speed6],
    ports: [tcp(5201), udp(5201)],
  },
];

type FindAddress = (name: string, family: 4 | 6) => Promise<string>;

const sha256 = (data: Buffer): string => createHash("sha256").update(data).digest("hex");

async function files({ laptop, cluster, check }: Lab, address6: () => Promise<string>): Promise<void> {
  const needs = ["nginx", "curl"];
  let root = "";
  let expected = "";
  const download = async (url: string, extra: string[] = []): Promise<string> => {
    const out = join(laptop.dir, "download");
    const args = ["-sS", "--fail", "--max-time", "60", "-w", "%{speed_download}", "-o", out, ...extra, url];
    const speed = Number(await laptop.run("curl", args));
    const actual = sha256(readFileSync(out));
    rmSync(out);
    assertEqual(actual, expected, "sha256");
    return `${((speed * 8) / 1e9).toFixed(2)} Gbit/s`;
  };
  const started = await check(
    "nginx serves 200 MB in the cluster",
    async () => {
      root = await startNginx(cluster, [ADDRESS.files, ADDRESS.files6]);
      const big = randomBytes(BIG_BYTES);
      expected = sha256(big);
      writeFileSync(join(root, "big"), big);
      writeFileSync(join(root, "small"), big.subarray(0, 1024 * 1024));
      return undefined;
    },
    { needs },
  );
  if (!started) return;
  await check("curl downloads 200 MB", () => download("http://files.shop/big"));
  await check("curl downloads 200 MB from the IPv6 cluster address", async () =>
    download(`http://[${await address6()}]/big`),
  );
  await check("curl uploads 200 MB", async () => {
    const url = "http://files.shop.svc.cluster.local/upload/big";
    const args = ["-sS", "--fail", "--max-time", "60", "-w", "%{speed_upload}", "-T", join(root, "big"), url];
    const speed = Number(await laptop.run("curl", args));
    assertEqual(sha256(readFileSync(join(root, "upload/big"))), expected, "sha256");
    return `${((speed * 8) / 1e9).toFixed(2)} Gbit/s`;
  });
  await check("500 downloads of 1 MB at once", async () => {
    const hash = sha256(readFileSync(join(root, "small")));
    await laptop.run(process.execPath, [WEB, "parallel", "http://files.shop/small", "500", hash]);
    return undefined;
  });
}

async function database({ laptop, cluster, check }: Lab): Promise<void> {
  const bin = postgresBin();
  await check(
    `pg_dump | psql of ${ROWS} rows`,
    async () => {
      await startPostgres(cluster, bin ?? "", ADDRESS.orders);
      const psql = async (database: string, sql: string): Promise<string> =>
        (
          await laptop.run("psql", ["-h", "orders-db.shop", "-U", "postgres", "-AtX", "-c", sql, database])
        ).trim();
      await psql("postgres", "create database shop");
      await psql("postgres", "create database copy");
      await psql(
        "shop",
        `create table orders as select i, md5(i::text) as code, repeat(md5((7 * i)::text), 3) as note
         from generate_series(1, ${ROWS}) i`,
      );
      const pipe = "pg_dump -h orders-db.shop -U postgres shop | psql -h orders-db.shop -U postgres -qX copy";
      await laptop.run("bash", ["-o", "pipefail", "-c", pipe]);
      const sum = "select count(*) || ' ' || md5(string_agg(i || code || note, '' order by i)) from orders";
      const copied = await psql("copy", sum);
      assertEqual(copied, await psql("shop", sum), "checksum over all rows");
      assert(copied.startsWith(`${ROWS} `), `rows: ${copied}`);
      return undefined;
    },
    // Named by the tool that uses it: its absence and the server's come together.
    { needs: ["pg_dump", "psql", "bash", bin === undefined ? "postgres" : join(bin, "postgres")] },
  );
}

async function cache({ laptop, cluster, check }: Lab): Promise<void> {
  await check(
    "redis-benchmark, and 2 MB in one value",
    async () => {
      await startRedis(cluster, ADDRESS.cache);
      const value = randomBytes(1024 * 1024).toString("hex");
      await laptop.run("redis-cli", ["-h", "cache.shop", "-x", "set", "value"], { input: value });
      const back = await laptop.run("redis-cli", ["-h", "cache.shop", "--raw", "get", "value"]);
      assert(back.trimEnd() === value, "the value came back changed");
      const args = ["-h", "cache.shop", "-t", "set,get", "-n", "50000", "-c", "50", "-d", "256", "--csv"];
      const rows = (await laptop.run("redis-benchmark", args)).match(/^"(SET|GET)","([\d.]+)"/gm) ?? [];
      assertEqual(rows.length, 2, "lines of figures");
      return rows.join(" ").replaceAll('"', "");
    },
    { needs: ["redis-server", "redis-cli", "redis-benchmark"] },
  );
}

async function web({ laptop, cluster, check }: Lab): Promise<void> {
  const server = cluster.spawn(process.execPath, [WEB, "serve", ADDRESS.web]);
  await server.waitForLine(/^ready$/m);
  await check("HTTP/2: 100 streams of 1 MB on one connection", async () => {
    await laptop.run(process.execPath, [WEB, "h2", "web.shop", "100", String(1024 * 1024)]);
    return undefined;
  });
  await check(
    "HTTP/2 by curl",
    async () => {
      const args = ["-sS", "--fail", "--max-time", "20", "--http2-prior-knowledge", "-o", "/dev/null"];
      const written = await laptop.run("curl", [
        ...args,
        "-w",
        "%{http_version} %{size_download}",
        "http://web.shop:8080/1000000",
      ]);
      assertEqual(written, "2 1000000", "version and size");
      return undefined;
    },
    { needs: ["curl"] },
  );
  await check("WebSocket: 200 messages of up to 2 MB, echoed", async () => {
    await laptop.run(process.execPath, [WEB, "ws", "web.shop", "200"]);
    return undefined;
  });
}

async function dns({ laptop, cluster, check }: Lab, address: () => Promise<string>): Promise<void> {
  const needs = ["dnsmasq", "dig"];
  const dig = async (...args: string[]): Promise<string> =>
    (await laptop.run("dig", [`@${await address()}`, "+tries=1", "+time=3", ...args])).trim();
  const started = await check(
    "dig asks a DNS server in the cluster over UDP",
    async () => {
      await startDnsmasq(cluster, ADDRESS.dns, { "host.test": "192.0.2.99" });
      assertEqual(await dig("+short", "host.test"), "192.0.2.99", "answer");
      return undefined;
    },
    { needs },
  );
  if (!started) return;
  await check("dig asks over TCP", async () => {
    assertEqual(await dig("+short", "+tcp", "host.test"), "192.0.2.99", "answer");
    return undefined;
  });
  await check("dig repeats a truncated answer over TCP", async () => {
    const text = await dig("+noedns", "big.test", "TXT");
    assert(text.includes("Truncated, retrying in TCP mode"), text);
    assert(text.includes("ANSWER: 1"), text);
    return undefined;
  });
}

async function speed({ laptop, cluster, check }: Lab, address6: () => Promise<string>): Promise<void> {
  for (const [family, address] of [
    ["IPv4", ADDRESS.speed],
    ["IPv6", ADDRESS.speed6],
  ] as const) {
    for (const direction of ["up", "down"] as const) {
      await check(
        `iperf3 ${direction} over ${family}`,
        async () => {
          const server = await startIperf(cluster, address);
          try {
            const target = family === "IPv4" ? "speed.infra" : await address6();
            const only = family === "IPv4" ? ["--version4"] : [];
            const { gigabitsPerSecond } = await runIperf(laptop, target, direction, IPERF_SECONDS, only);
            assert(gigabitsPerSecond > 0.05, `only ${gigabitsPerSecond} Gbit/s`);
            return `${gigabitsPerSecond.toFixed(2)} Gbit/s`;
          } finally {
            await server.stop();
          }
        },
        { needs: ["iperf3"] },
      );
    }
  }
}

/** `--direct`: plain routes instead of czctl. Tells whether it is the tunnel or the lab that fails. */
async function connectDirectly({ laptop, internet }: Lab): Promise<FindAddress> {
  await internet.ip(
    `route add 10.96.0.0/16 via ${AGENT_ADDRESS}\nroute add fd00:96::/64 via ${AGENT_ADDRESS_6}\n`,
  );
  const names = SERVICES.map(
    ({ name, namespace, clusterIps }) =>
      `${clusterIps?.[0]} ${name}.${namespace} ${name}.${namespace}.svc.cluster.local`,
  );
  laptop.writeEtc("hosts", `${names.join("\n")}\n`);
  return async (name, family) => {
    const service = SERVICES.find(one => `${one.name}.${one.namespace}` === name);
    return service?.clusterIps?.[family === 4 ? 0 : 1] ?? "";
  };
}

async function connectByCzctl(l: Lab): Promise<{ address: FindAddress; agent: Agent }> {
  const { czctl, agent } = await makeTeamspace(l, catalogText(SERVICES));
  const address: FindAddress = async (name, family) => {
    const row = (await czctl.services()).find(service => `${service.name}.${service.namespace}` === name);
    const found = row?.addresses.find(text => text.includes(":") === (family === 6));
    assert(found !== undefined, `${name} has no IPv${family} address`);
    return found;
  };
  return { address, agent };
}

/** From the moment that the catalog file is written to the first bytes on the laptop. */
async function newService({ laptop, check }: Lab, agent: Agent): Promise<void> {
  await check("a new service is usable within a second, without polling", async () => {
    const late = { namespace: "shop", name: "late", ports: [tcp(80)], endpoints: [ADDRESS.files] };
    const since = performance.now();
    agent.writeCatalog(catalogText([...SERVICES, late]));
    await eventually("it answers", async () => {
      await laptop.run("curl", ["-sS", "--max-time", "1", "-o", "/dev/null", "http://late.shop/"]);
    });
    const tookMs = Math.round(performance.now() - since);
    assert(tookMs < 1000, `only after ${tookMs} ms`);
    return `${tookMs} ms`;
  });
}

/** Processors that the process's first thread may run on: in a data plane, the one that carries packets. */
function processors(pid: number): string {
  return /^Cpus_allowed_list:\s*(.+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? "";
}

async function placement({ laptop, cluster, check }: Lab, agent: Agent): Promise<void> {
  await check(
    "a data plane that stays on its processor in a transfer is free afterwards",
    async () => {
      const pid = agent.dataplanePid();
      // The transfers before this one may have it held still.
      const every = processors(process.pid);
      const server = await startIperf(cluster, ADDRESS.speed);
      let looks = 0;
      let held = 0;
      const timer = setInterval(() => {
        looks++;
        if (processors(pid) !== every) held++;
      }, 10);
      try {
        await runIperf(laptop, "speed.infra", "down", 1, ["--version4"]);
      } finally {
        clearInterval(timer);
        await server.stop();
      }
      await eventually("free", async () => assertEqual(processors(pid), every, "processors"));
      return `held at ${held} of ${looks} looks`;
    },
    { needs: ["iperf3"] },
  );
}

/** Descriptors that the agent's data plane holds. */
function descriptors(agent: Agent): number {
  return readdirSync(`/proc/${agent.dataplanePid()}/fd`).length;
}

const direct = process.argv.includes("--direct");

await lab(import.meta.url, async l => {
  await addClusterAddresses(l.cluster, Object.values(ADDRESS));
  const tunnel = direct ? null : await connectByCzctl(l);
  const address = tunnel?.address ?? (await connectDirectly(l));
  const descriptorsBefore = tunnel === null ? 0 : descriptors(tunnel.agent);
  await files(l, () => address("files.shop", 6));
  if (tunnel !== null) await newService(l, tunnel.agent);
  await database(l);
  await cache(l);
  await web(l);
  await dns(l, () => address("dns.infra", 4));
  await speed(l, () => address("speed.infra", 6));
  if (tunnel === null) return;
  await placement(l, tunnel.agent);
  await l.check(
    "the data plane that began it all is still the same, and has let go of every flow",
    async () => {
      const czctl = new Czctl(l.laptop);
      const status = await eventually("idle", async () => {
        const now = await czctl.status();
        assertEqual(now.dataplane?.flows.tcp, 0, "TCP flows");
        return now;
      });
      assertEqual(status.dataplaneRestarts, 0, "restarts of the data plane");
      // UDP flows to the DNS server idle on; every other socket is closed again.
      const dnsFlows = (await czctl.status()).dataplane?.flows.udp ?? 0;
      const left = descriptors(tunnel.agent) - descriptorsBefore;
      assert(left <= dnsFlows, `the agent's data plane holds ${left} more descriptors than before`);
      return `${Math.round((status.dataplane?.memory.rssBytes ?? 0) / 1e6)} MB resident`;
    },
  );
});
