/**
 * A network that is away for a minute, and a laptop that sleeps for longer than that: `npm run lab:change-long`.
 *
 * A suspension is emulated by SIGSTOP: timers are overdue, sockets' buffers have overflowed, the agent has heard
 * nothing and has backed off, and the laptop wakes up with another address. What is not emulated is CLOCK_MONOTONIC
 * standing still while CLOCK_BOOTTIME goes on, by which the daemon knows of it even where the network is as before.
 */
import { assertNames, describe, makeChangingWorld, suspended, throughout, withoutRoute } from "./change.js";
import { assert, type Lab, lab } from "./lab.js";

const LATE_LIMIT_MS = 3_000;
const CHECK_LIMIT_MS = 360_000;

async function moveTo(l: Lab, from: number, to: number): Promise<void> {
  await l.laptop.ip(
    `addr del 192.0.2.${from}/24 dev eth0\naddr add 192.0.2.${to}/24 dev eth0\nroute replace default via 192.0.2.1\n`,
  );
}

await lab(import.meta.url, async l => {
  const world = await makeChangingWorld(l);
  const outage = async (ms: number, seconds: number, during: () => Promise<void>): Promise<string> => {
    const result = await throughout(world, seconds, during);
    const lateMs = Math.max(result.down.stallMs, result.up.stallMs) - ms;
    assert(lateMs < LATE_LIMIT_MS, `it went on only ${Math.round(lateMs)} ms after the end of it`);
    await assertNames(world);
    return describe(result);
  };
  const options = { timeoutMs: CHECK_LIMIT_MS, needs: ["/dev/net/tun", "dig"] };
  await l.check(
    "the default route is gone for 60 s, and back",
    () => outage(60_000, 10, () => withoutRoute(l, 60_000)),
    options,
  );
  await l.check(
    "stopped for 95 s, and another address meanwhile",
    () => outage(95_000, 10, () => suspended(world, 95_000, () => moveTo(l, 2, 77))),
    options,
  );
  await l.check(
    "stopped for 200 s, past the session's end, in the same network",
    () => outage(200_000, 10, () => suspended(world, 200_000)),
    options,
  );
});
