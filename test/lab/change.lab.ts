/** The network changes under running transfers, and the agent starts anew. What takes a minute: change-long. */
import {
  assertNames,
  describe,
  makeChangingWorld,
  suspended,
  throughout,
  type World,
  withoutRoute,
} from "./change.js";
import { assert, type Lab, lab } from "./lab.js";
import { eventually } from "./program.js";

/** From the change to bytes again: a handshake and a round trip, on a busy machine. */
const MOVE_LIMIT_MS = 3_000;
const OUTAGE_MS = 10_000;
const RESTART_LIMIT_MS = 3_000;

async function toLan({ laptop }: Lab): Promise<void> {
  // As a network manager does it: the cable first, then the Wi-Fi's end.
  await laptop.ip(
    "link set lan0 up\naddr add 198.51.100.2/24 dev lan0\n" +
      "route replace default via 198.51.100.1 metric 50\nlink set eth0 down\n",
  );
}

async function toWifi({ laptop }: Lab): Promise<void> {
  await laptop.ip("link set eth0 up\nroute add default via 192.0.2.1\nlink set lan0 down\n");
}

async function moves(world: World, change: () => Promise<void>): Promise<string> {
  const result = await throughout(world, 6, change);
  const stallMs = Math.max(result.down.stallMs, result.up.stallMs);
  assert(stallMs < MOVE_LIMIT_MS, `it stood still for ${Math.round(stallMs)} ms`);
  await assertNames(world);
  return describe(result);
}

/** A transfer that is under way ends with an error, at once; a new one works without anybody's help. */
async function agentRestarted(world: World, signal: "SIGTERM" | "SIGKILL"): Promise<string> {
  const { l, agent } = world;
  const { laptop } = l;
  const url = "http://files.shop/60000000/1000000";
  const download = laptop.spawn("curl", [
    "-sS",
    "--no-buffer",
    "-o",
    "/dev/null",
    "--write-out",
    "%{http_code}",
    url,
  ]);
  await eventually("the download is under way", async () => {
    const flows = await world.czctl.run(["trace-connections", "--once"]);
    assert(flows.includes("files.shop"), flows);
  });
  const ended = download.exited.then(exit => ({ exit, at: performance.now() }));
  agent.program?.kill(signal);
  await agent.program?.exited;
  const startedAt = performance.now();
  await agent.start();
  const readyAt = performance.now();
  const works = async (): Promise<void> => {
    await laptop.run("curl", [
      "-sS",
      "--fail",
      "--max-time",
      "1",
      "-o",
      "/dev/null",
      "http://files.shop/1000/1000000",
    ]);
  };
  await eventually("a new flow works", works, RESTART_LIMIT_MS);
  const worksAt = performance.now();
  const { exit, at } = await ended;
  assert(exit.code !== 0, "the download did not notice");
  await assertNames(world);
  const after = (moment: number): string => `${Math.max(0, Math.round(moment - readyAt))} ms`;
  return (
    `the agent was back after ${Math.round(readyAt - startedAt)} ms, a new flow worked ${after(worksAt)} later; ` +
    `the old one ended ${at < readyAt ? "before that" : `${after(at)} later`} (curl exit ${exit.code})`
  );
}

await lab(import.meta.url, async l => {
  let world: World | undefined;
  const ready = await l.check(
    "a laptop with two ways into the internet",
    async () => {
      world = await makeChangingWorld(l);
      await assertNames(world);
      return undefined;
    },
    { needs: ["/dev/net/tun", "curl", "dig"] },
  );
  if (!ready || world === undefined) return;
  const changing = world;
  await l.check("from Wi-Fi to LAN: another device, address and default route", () =>
    moves(changing, () => toLan(l)),
  );
  await l.check("and back", () => moves(changing, () => toWifi(l)));
  await l.check("another address, on the same device", () =>
    moves(changing, () =>
      l.laptop.ip(
        "addr del 192.0.2.2/24 dev eth0\naddr add 192.0.2.77/24 dev eth0\nroute replace default via 192.0.2.1\n",
      ),
    ),
  );
  await l.check(`the default route is gone for ${OUTAGE_MS / 1000} s, and back`, async () => {
    const result = await throughout(changing, 15, () => withoutRoute(l, OUTAGE_MS));
    const lateMs = Math.max(result.down.stallMs, result.up.stallMs) - OUTAGE_MS;
    assert(lateMs < MOVE_LIMIT_MS, `it went on only ${Math.round(lateMs)} ms after the route was back`);
    await assertNames(changing);
    return describe(result);
  });
  await l.check("processes stopped for 10 s, and another address meanwhile", async () => {
    const result = await throughout(changing, 15, () =>
      suspended(changing, OUTAGE_MS, () =>
        l.laptop.ip(
          "addr del 192.0.2.77/24 dev eth0\naddr add 192.0.2.2/24 dev eth0\nroute replace default via 192.0.2.1\n",
        ),
      ),
    );
    const lateMs = Math.max(result.down.stallMs, result.up.stallMs) - OUTAGE_MS;
    assert(lateMs < MOVE_LIMIT_MS, `it went on only ${Math.round(lateMs)} ms after they went on`);
    await assertNames(changing);
    return describe(result);
  });
  await l.check("the agent is restarted", () => agentRestarted(changing, "SIGTERM"));
  await l.check("the agent is killed and started", () => agentRestarted(changing, "SIGKILL"));
});
