/** One row of the matrix: a VPN, an order of coming and going, and the checks in between. */
import { eventually } from "../program.js";
import {
  bigSha256,
  get,
  INTERNET_WEB,
  OFFICE_NAME,
  snapshot,
  startDownload,
  VPN_CLIENT,
  type World,
} from "./office.js";
import type { Vpn } from "./vpns.js";

export const CHECKS = [
  "cluster",
  "office",
  "office name",
  "internet",
  "our download",
  "its download",
  "restored",
] as const;
export type Check = (typeof CHECKS)[number];
/** What went wrong; absent: passed. */
export type Row = Map<Check, string | null>;

const CLUSTER_URL = "http://files.shop";
const REPLY_LIMIT_MS = 10_000;

type Order = (world: World, vpn: Vpn, row: Row) => Promise<void>;

export const ORDERS: ReadonlyMap<string, Order> = new Map([
  // The first, while czctl still has the range that it takes by itself: a VPN that wants it makes it move.
  ["czctl first", czctlFirst],
  ["VPN first", vpnFirst],
  ["VPN restarted", vpnRestarted],
  ["czctl down, VPN stays", czctlDown],
]);

/** Never throws: what stops a row is the failure of all its checks that have not been made. */
export async function runRow(world: World, vpn: Vpn, order: Order): Promise<Row> {
  const row: Row = new Map();
  let trouble = "not reached";
  try {
    await order(world, vpn, row);
  } catch (error) {
    trouble = (error as Error).message;
  }
  await world.czctl.exec(["down"]);
  await vpn.down(world).catch(() => {});
  for (const check of CHECKS) {
    if (row.has(check)) continue;
    row.set(check, trouble);
    trouble = "not reached";
  }
  return row;
}

async function vpnFirst(world: World, vpn: Vpn, row: Row): Promise<void> {
  await vpn.up(world);
  const before = await snapshot(world);
  await world.czctl.up();
  await reachAll(world, vpn, row);
  await downloads(world, vpn, row, async () => {});
  await world.czctl.run(["down"]);
  compare(row, before, await snapshot(world));
}

async function czctlFirst(world: World, vpn: Vpn, row: Row): Promise<void> {
  const before = await snapshot(world);
  await world.czctl.up();
  const ours = await startDownload(world, `${CLUSTER_URL}/big`);
  await vpn.up(world);
  // Once it is reachable: where it claims our range, we need a moment to move.
  await reachAll(world, vpn, row);
  const its = await startDownload(world, `http://${vpn.web}/big`);
  await judge(row, "our download", ours.done);
  await judge(row, "its download", its.done);
  await vpn.down(world);
  await world.czctl.run(["down"]);
  compare(row, before, await snapshot(world));
}

/** Our download lives through the VPN's going and coming; one of its own cannot, so that one begins after. */
async function vpnRestarted(world: World, vpn: Vpn, row: Row): Promise<void> {
  await vpn.up(world);
  const before = await snapshot(world);
  await world.czctl.up();
  const ours = await startDownload(world, `${CLUSTER_URL}/big`);
  await vpn.down(world);
  await new Promise(resolve => setTimeout(resolve, 500));
  await vpn.up(world);
  // Once it is reachable: where it claims our range, we need a moment to move.
  await reachAll(world, vpn, row);
  const its = await startDownload(world, `http://${vpn.web}/big`);
  await judge(row, "our download", ours.done);
  await judge(row, "its download", its.done);
  await world.czctl.run(["down"]);
  compare(row, before, await snapshot(world));
}

/** The VPN does not notice that we leave. */
async function czctlDown(world: World, vpn: Vpn, row: Row): Promise<void> {
  const before = await snapshot(world);
  await world.czctl.up();
  await vpn.up(world);
  await reachAll(world, vpn, row);
  const ours = await startDownload(world, `${CLUSTER_URL}/big`);
  await judge(row, "our download", ours.done);
  const its = await startDownload(world, `http://${vpn.web}/big`);
  await world.czctl.run(["down"]);
  for (const url of [`http://${vpn.web}/`, `http://${OFFICE_NAME}/`]) {
    const body = await get(world, url);
    if (!body.startsWith("office ")) row.set("office", `after our down: ${url}: ${body}`);
  }
  await judge(row, "its download", its.done);
  await vpn.down(world);
  compare(row, before, await snapshot(world));
}

async function downloads(world: World, vpn: Vpn, row: Row, between: () => Promise<void>): Promise<void> {
  const ours = await startDownload(world, `${CLUSTER_URL}/big`);
  const its = await startDownload(world, `http://${vpn.web}/big`);
  await between();
  await judge(row, "our download", ours.done);
  await judge(row, "its download", its.done);
}

/** Cluster by name, VPN's host by address and name, internet: each the right way, within seconds of any change. */
async function reachAll(world: World, vpn: Vpn, row: Row): Promise<void> {
  const client = vpn.full ? VPN_CLIENT : "192.0.2.2";
  const wanted: [Check, string, RegExp][] = [
    ["cluster", `${CLUSTER_URL}/`, /^cluster to /],
    ["office", `http://${vpn.web}/`, new RegExp(`^office to ${VPN_CLIENT}$`)],
    ["office name", `http://${OFFICE_NAME}/`, new RegExp(`^office to ${VPN_CLIENT}$`)],
    ["internet", `http://${INTERNET_WEB}/`, new RegExp(`^internet to ${client}$`)],
  ];
  for (const [check, url, pattern] of wanted) {
    const probe = async (): Promise<void> => {
      const body = await get(world, url);
      if (!pattern.test(body)) throw new Error(body);
    };
    const why = await eventually(url, probe, REPLY_LIMIT_MS).then(
      () => null,
      (error: Error) => error.message,
    );
    row.set(check, why);
  }
}

async function judge(row: Row, check: Check, sha256: Promise<string>): Promise<void> {
  const got = await sha256;
  row.set(check, got === bigSha256() ? null : got);
}

function compare(row: Row, before: Record<string, string>, after: Record<string, string>): void {
  const changed = Object.keys(before).filter(name => before[name] !== after[name]);
  const shown = changed.map(name => `${name}:\n${difference(before[name] ?? "", after[name] ?? "")}`);
  row.set("restored", changed.length === 0 ? null : shown.join("\n"));
}

function difference(before: string, after: string): string {
  const [a, b] = [before.split("\n"), after.split("\n")];
  const lines = [
    ...a.filter(line => !b.includes(line)).map(line => `- ${line}`),
    ...b.filter(line => !a.includes(line)).map(line => `+ ${line}`),
  ];
  return lines.join("\n");
}
