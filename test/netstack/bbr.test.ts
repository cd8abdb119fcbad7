/** The model-based congestion control and its pacer, over simulated links and alone. */
import t from "tap";
import { Bbr } from "../../src/netstack/tcp/congestion/index.js";
import { Pacer } from "../../src/netstack/tcp/pacer.js";
import { Pair } from "./sim/pair.js";
import { type LinkConditions, PERFECT } from "./sim/sim-link.js";

/** 100 Mbit/s. */
const RATE = 12_500;
const MSS = 1380;

function link(rttMs: number, loss: number, queueMs = 50): LinkConditions {
  return {
    ...PERFECT,
    mtu: 1420,
    delayMs: rttMs / 2,
    bytesPerMs: RATE,
    queueBytes: queueMs * RATE,
    loss,
    congested: true,
    maxGsoBytes: 0,
  };
}

/** Share of the link's rate that one download of `bytes` reaches. */
function share(congestion: "bbr" | "cubic", conditions: LinkConditions, bytes: number): number {
  const pair = new Pair({ seed: 5, link: conditions, down: bytes, stack: { congestion } });
  const end = pair.connect();
  const start = pair.world.now;
  pair.world.run(60_000, () => end.sink.finished);
  if (!end.sink.finished || end.sink.wrongAt !== -1) return 0;
  return bytes / (pair.world.now - start) / RATE;
}

t.test("random loss does not slow it down", async t => {
  const bytes = 10_000_000;
  for (const rtt of [20, 66]) {
    const bbr = share("bbr", link(rtt, 0.01), bytes);
    const cubic = share("cubic", link(rtt, 0.01), bytes);
    t.ok(bbr > 0.4, `1 % at ${rtt} ms: ${bbr.toFixed(2)} of the link`);
    t.ok(bbr > 3 * cubic, `CUBIC has ${cubic.toFixed(2)}`);
  }
});

t.test("a clean link is filled", async t => {
  t.ok(share("bbr", link(1, 0), 10_000_000) > 0.85);
  t.ok(share("bbr", link(20, 0), 20_000_000) > 0.85);
});

t.test("it leaves no standing queue", async t => {
  const pair = new Pair({ seed: 5, link: link(40, 0, 400), down: 60_000_000, stack: { congestion: "bbr" } });
  pair.connect();
  pair.world.run(4_000);
  const rtt = pair.serverEnd?.connection.srttMs ?? 0;
  t.ok(rtt >= 40 && rtt < 90, `the round trip is ${rtt.toFixed(0)} of 40 ms; a full queue would make it 440`);
});

t.test("whatever the link does, transfers arrive whole and leave nothing behind", async t => {
  for (let seed = 1; seed <= 60; seed++) {
    const conditions: LinkConditions = {
      ...link(seed % 7 === 0 ? 0 : (seed * 13) % 160, (seed % 5) * 0.02, (seed % 4) * 20 + 2),
      reorder: seed % 3 === 0 ? 0.1 : 0,
      reorderMs: 10,
      duplicate: seed % 4 === 0 ? 0.05 : 0,
    };
    const sizes = { up: (seed * 7919) % 300_000, down: (seed * 104_729) % 300_000 };
    const pair = new Pair({ seed, link: conditions, ...sizes, stack: { congestion: "bbr" } });
    const end = pair.connect();
    pair.world.run(600_000, () => pair.done);
    const whole = pair.done && end.sink.wrongAt === -1 && pair.serverEnd?.sink.wrongAt === -1;
    pair.world.run(600_000);
    const left = pair.client.connections().length + pair.server.connections().length;
    const idle = pair.client.pollAt() === Number.POSITIVE_INFINITY;
    if (!whole || left > 0 || !idle || pair.world.pool.usedBytes > 0) t.fail(`seed ${seed}`);
  }
  t.pass("60 transfers");
});

t.test("after a time-out it sends one segment, and is back in a few round trips", async t => {
  const bbr = new Bbr();
  bbr.setMss(MSS);
  let now = 0;
  const ack = (): void => {
    now += 10;
    bbr.onDelivered(bbr.cwnd, 0, bbr.cwnd, true, 40, 40, now);
  };
  for (let i = 0; i < 100; i++) ack();
  const before = bbr.cwnd;
  bbr.onTimeout();
  t.equal(bbr.cwnd, MSS);
  for (let i = 0; i < 40; i++) ack();
  t.ok(bbr.cwnd > before / 4, `${bbr.cwnd} of ${before}`);
});

t.test("Pacer: a burst of a millisecond, then the rate", async t => {
  const pacer = new Pacer();
  const rate = 1000;
  let now = 1000;
  let sent = 0;
  for (; now < 1100; now += 0.25) {
    for (let left = pacer.allowance(rate, now); left > 0; left -= 500) {
      pacer.onSent(500, rate, now);
      sent += 500;
    }
  }
  t.ok(sent >= 99_000 && sent <= 104_000, `${sent} bytes in 100 ms`);
  t.equal(pacer.allowance(Number.POSITIVE_INFINITY, now), Number.POSITIVE_INFINITY);
});
