/** Real servers for the cluster, each in the foreground, in a directory of its own, and never the system's. */
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Host } from "./host.js";
import type { Program } from "./program.js";

function makeDir(host: Host, name: string): string {
  const dir = join(host.dir, name);
  mkdirSync(dir);
  return dir;
}

function listenLine(address: string, port: number): string {
  return address.includes(":") ? `listen [${address}]:${port};` : `listen ${address}:${port};`;
}

/** Files of `DIR/www`; uploads by PUT below `/upload/`. Returns the document root. */
export async function startNginx(host: Host, addresses: string[], port = 80): Promise<string> {
  const dir = makeDir(host, "nginx");
  for (const sub of ["www", "www/upload", "tmp"]) mkdirSync(join(dir, sub));
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map(kind => `${kind}_temp_path ${dir}/tmp/${kind};`)
    .join(" ");
  writeFileSync(
    join(dir, "nginx.conf"),
    `daemon off; user root; worker_processes 1; pid ${dir}/pid; error_log stderr warn;
     events { worker_connections 4096; }
     http {
       access_log off; ${temporary} client_max_body_size 0; sendfile on;
       server {
         ${addresses.map(address => listenLine(address, port)).join(" ")}
         root ${dir}/www;
         location /upload/ { dav_methods PUT DELETE; }
       }
     }\n`,
  );
  host.spawn("nginx", ["-p", dir, "-c", join(dir, "nginx.conf"), "-e", "stderr"]);
  await host.waitForPort(port);
  return join(dir, "www");
}

/** Where Debian keeps initdb and postgres: outside PATH. */
export function postgresBin(): string | undefined {
  try {
    const base = "/usr/lib/postgresql";
    const versions = readdirSync(base).sort((a, b) => Number(b) - Number(a));
    return versions[0] === undefined ? undefined : join(base, versions[0], "bin");
  } catch {
    return undefined;
  }
}

/** A throw-away database server; superuser `postgres`, no password. It refuses to run as root: not even ours. */
export async function startPostgres(host: Host, bin: string, address: string): Promise<Program> {
  const dir = makeDir(host, "postgres");
  const asSomebody = ["--user", "--map-user=1000", "--map-group=1000"];
  const data = join(dir, "data");
  const initdb = ["-D", data, "-U", "postgres", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"];
  await host.run("unshare", [...asSomebody, join(bin, "initdb"), ...initdb]);
  writeFileSync(join(data, "pg_hba.conf"), "local all all trust\nhost all all all trust\n");
  const settings = [
    `listen_addresses=${address}`,
    `unix_socket_directories=${dir}`,
    "fsync=off",
    "port=5432",
  ];
  const options = settings.flatMap(setting => ["-c", setting]);
  const program = host.spawn("unshare", [...asSomebody, join(bin, "postgres"), "-D", data, ...options]);
  await program.waitForLine(/ready to accept connections/, 20_000);
  return program;
}

export async function startRedis(host: Host, address: string, port = 6379): Promise<Program> {
  const dir = makeDir(host, "redis");
  const options = ["--save", "", "--appendonly", "no", "--protected-mode", "no", "--dir", dir];
  const program = host.spawn("redis-server", ["--port", String(port), "--bind", address, ...options]);
  await host.waitForPort(port);
  return program;
}

/** Knows `records` (name → address), and `big.test` TXT, an answer that does not fit 512 bytes. */
export async function startDnsmasq(
  host: Host,
  address: string,
  records: Record<string, string>,
): Promise<Program> {
  const big = Array.from({ length: 6 }, (_, i) => `${i}${"x".repeat(200)}`).join(",");
  const program = host.spawn("dnsmasq", [
    "--keep-in-foreground",
    "--conf-file=/dev/null",
    "--pid-file=",
    "--user=root",
    "--no-resolv",
    "--no-hosts",
    "--bind-interfaces",
    `--listen-address=${address}`,
    `--txt-record=big.test,${big}`,
    ...Object.entries(records).map(([name, value]) => `--host-record=${name},${value}`),
  ]);
  await host.waitForPort(53);
  return program;
}

export async function startIperf(host: Host, address: string, port = 5201): Promise<Program> {
  const program = host.spawn("iperf3", ["--server", "--bind", address, "--port", String(port)]);
  await host.waitForPort(port);
  return program;
}

export interface IperfResult {
  gigabitsPerSecond: number;
  bytes: number;
  /** Of datagrams; 0 with TCP. */
  lostPercent: number;
}

interface Sum {
  bits_per_second: number;
  bytes: number;
  lost_percent?: number;
}

/** One flow, unless `extra` says more. "down" is towards the laptop; "both" counts both ways together. */
export async function runIperf(
  host: Host,
  target: string,
  direction: "up" | "down" | "both",
  seconds: number,
  extra: string[] = [],
): Promise<IperfResult> {
  const reverse = { up: [], down: ["--reverse"], both: ["--bidir"] }[direction];
  const args = ["--client", target, "--json", "--time", String(seconds), ...reverse, ...extra];
  const output = await host.run("iperf3", args, { timeoutMs: (seconds + 15) * 1000 });
  const { end, error } = JSON.parse(output) as {
    end: { sum_received?: Sum; sum_received_bidir_reverse?: Sum };
    error?: string;
  };
  const { sum_received: there, sum_received_bidir_reverse: back } = end;
  if (there === undefined) throw new Error(`iperf3: ${error ?? output}`);
  return {
    gigabitsPerSecond: (there.bits_per_second + (back?.bits_per_second ?? 0)) / 1e9,
    bytes: there.bytes + (back?.bytes ?? 0),
    lostPercent: there.lost_percent ?? 0,
  };
}
