/**
 * What the labs of a changing network share: a laptop with a second way into the internet, a service that sends
 * and takes known bytes, and transfers in whose middle something happens.
 *
 * ```
 *   laptop ─ eth0 "Wi-Fi" 192.0.2.2 ──────┐
 *          └ lan0 "LAN"   198.51.100.2 ───┴── internet ── cluster
 * ```
 */
import { fileURLToPath } from "node:url";
import type { Transfer } from "./bulk.js";
import { catalogText } from "./catalog.js";
import { type Agent, type Czctl, makeTeamspace } from "./czctl.js";
import { assert, assertEqual, type Lab } from "./lab.js";
import { addClusterAddresses } from "./topology.js";

const BULK = fileURLToPath(new URL("bulk.js", import.meta.url));
const FILES = "10.96.0.30";
const RATE = 2_000_000;

export interface World {
  l: Lab;
  agent: Agent;
  czctl: Czctl;
}

export async function makeChangingWorld(l: Lab): Promise<World> {
  await l.internet.ip(
    `link add lan type veth peer name lan0 netns ${l.laptop.pid}\nlink set lan up\naddr add 198.51.100.1/24 dev lan\n`,
  );
  await addClusterAddresses(l.cluster, [FILES]);
  const server = l.cluster.spawn(process.execPath, [BULK, "serve", FILES]);
  await server.waitForLine(/ready/);
  const port = { name: "http", protocol: "TCP" as const, port: 80 };
  const catalog = catalogText([{ namespace: "shop", name: "files", clusterIps: [FILES], ports: [port] }]);
  return { l, ...(await makeTeamspace(l, catalog)) };
}

/** Names answer as they should: in the hosts file, and by DNS. */
export async function assertNames({ l, czctl }: World): Promise<void> {
  const address = await czctl.address("files.shop");
  assert(l.laptop.readHosts().includes(`${address} files.shop\n`), "files.shop is not in the hosts file");
  const [dns = ""] = (await czctl.status()).dns;
  const asked = ["+short", "+time=2", "+tries=1", `@${dns}`, "files.shop.svc.cluster.local", "A"];
  assertEqual((await l.laptop.run("dig", asked)).trim(), address, "answer of DNS");
}

/** A download and an upload at once, with something happening a second after they began. */
export async function throughout(
  { l }: World,
  seconds: number,
  during: () => Promise<void>,
): Promise<{ down: Transfer; up: Transfer }> {
  const url = `http://files.shop/${seconds * RATE}/${RATE}`;
  const programs = ["down", "up"].map(how => l.laptop.spawn(process.execPath, [BULK, how, url]));
  await Promise.all(programs.map(program => program.waitForLine(/started/)));
  await new Promise(resolve => setTimeout(resolve, 1_000));
  await during();
  const results = programs.map(async program => {
    const exit = await program.exited;
    const line = program.stdout.trim().split("\n").at(-1) ?? "";
    assert(exit.code === 0 && line.startsWith("{"), `${program.name}: ${program.stderr.trim()}`);
    const result = JSON.parse(line) as Transfer;
    assert(result.exact, `${result.bytes} of ${seconds * RATE} bytes, or not the right ones`);
    return result;
  });
  const [down, up] = (await Promise.all(results)) as [Transfer, Transfer];
  return { down, up };
}

export function describe({ down, up }: { down: Transfer; up: Transfer }): string {
  return `byte-exact; the download stood still for ${Math.round(down.stallMs)} ms, the upload for ${Math.round(up.stallMs)} ms`;
}

export const sleep = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms));

/** The default route goes, and comes back. */
export async function withoutRoute({ laptop }: Lab, ms: number): Promise<void> {
  await laptop.ip("route del default\n");
  await sleep(ms);
  await laptop.ip("route add default via 192.0.2.1\n");
}

/** Every process of czctl on the laptop stands still, as in a suspension; then all go on. */
export async function suspended(
  { czctl }: World,
  ms: number,
  meanwhile: () => Promise<void> = async () => {},
): Promise<void> {
  const { pid, supervisorPid, dataplane } = await czctl.status();
  const pids = [supervisorPid, pid, dataplane?.pid ?? 0];
  assert(
    pids.every(each => each > 1),
    `no such process ids: ${pids}`,
  );
  for (const each of pids) process.kill(each, "SIGSTOP");
  try {
    await sleep(ms);
    await meanwhile();
  } finally {
    for (const each of pids.reverse()) process.kill(each, "SIGCONT");
  }
}
