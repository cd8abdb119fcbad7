/** The model-based congestion control and its pacer, over simulated links and alone. */
import t from "tap";
import type { TcpConnection } from "../../src/netstack/index.js";
import { Bbr } from "../../src/netstack/tcp/congestion/index.js";
import { Train } from "../../src/netstack/tcp/congestion/train.js";
import type { AckSample } from "../../src/netstack/tcp/delivery-rate.js";
import { Pacer } from "../../src/netstack/tcp/pacer.js";
import { Pair } from "./sim/pair.js";
import { type LinkConditions, PERFECT } from "./sim/sim-link.js";

/** 100 Mbit/s. */
const RATE = 12_500;

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

/** Milliseconds from the SYN until `bytes` have arrived. */
function timeFor(bytes: number, conditions: LinkConditions, shape?: (pair: Pair) => void): number {
  const pair = new Pair({ seed: 5, link: conditions, down: 2 * bytes, stack: { congestion: "bbr" } });
  const end = pair.connect();
  const start = pair.world.now;
  shape?.(pair);
  pair.world.run(60_000, () => end.sink.taken >= bytes);
  return pair.world.now - start;
}

t.test("§5.3.1: start-up quadruples while the ACKs of whole flights vouch for it", async t => {
  // 2 + n round trips for 10 (4^n - 1) / 3 segments, up to half of what fills the path; doubling takes three more.
  const ms = timeFor(1_000_000, link(66, 0));
  t.ok(ms > 5 * 66 && ms < 7.5 * 66, `1 MB after ${(ms / 66).toFixed(1)} round trips`);
  const lossy = timeFor(1_000_000, link(66, 0.02));
  t.ok(lossy < 9 * 66, `with 2 % loss after ${(lossy / 66).toFixed(1)}`);
});

t.test(
  "§5.3.1: and so it does for the answer to a question, before which there was nothing to send",
  async t => {
    const bytes = 1_000_000;
    const pair = new Pair({ seed: 5, link: link(66, 0), up: 300, stack: { congestion: "bbr" } });
    pair.onSyn = connection => {
      const { source } = pair.takeServerEnd(connection);
      source.open = true;
      connection.accept();
    };
    const end = pair.connect();
    end.source.open = true;
    const start = pair.world.now;
    pair.world.run(1_000, () => pair.serverEnd?.sink.taken === 300);
    const { source } = pair.serverEnd as NonNullable<typeof pair.serverEnd>;
    source.total = 2 * bytes;
    source.pump();
    pair.world.run(60_000, () => end.sink.taken >= bytes);
    const ms = pair.world.now - start;
    t.ok(ms < 7.5 * 66, `1 MB after ${(ms / 66).toFixed(1)} round trips`);
  },
);

t.test("§5.3.1: a bucket of tokens that vouches for more than the path holds does no harm", async t => {
  let lost = 0;
  const bucket = ({ world, serverLink, clientLink }: Pair): void => {
    let [tokens, last, busy] = [65_536, 0, 0];
    serverLink.filter = packet => {
      const { now } = world;
      tokens = Math.min(65_536, tokens + (now - last) * 1250);
      last = now;
      busy = Math.max(busy, now);
      if (tokens >= packet.length && busy === now) tokens -= packet.length;
      else if (busy - now < 100) busy += packet.length / 1250;
      else lost++;
      if (busy - now < 100) clientLink.arriveAt(busy + 33, packet.slice());
      return false;
    };
  };
  const ms = timeFor(2_000_000, link(66, 0), bucket);
  t.ok(ms > 1500 && ms < 2100, `2 MB at 10 Mbit/s after ${ms.toFixed(0)} ms`);
  t.ok(lost < 200, `${lost} packets lost of a queue of 90`);
});

t.test("Train: the rate of a flight, less its first ACK; the lower one of two", async t => {
  const train = new Train();
  const ack = (at: number, delivered: number, roundStart = false): void =>
    train.onSample({ delivered, roundStart, now: at } as AckSample, 1000);
  t.equal(train.rate, 0);
  ack(100, 10_000, true);
  t.equal(train.rate, 0, "all at once says nothing");
  ack(200, 2000, true);
  for (let i = 1; i <= 4; i++) ack(200 + i, 2000);
  t.equal(train.rate, 2000);
  ack(300, 2000, true);
  t.equal(train.rate, 2000, "the last flight's, until this one has its own");
  for (let i = 1; i <= 4; i++) ack(300 + i / 2, 2000);
  t.equal(train.rate, 2000);
  ack(400, 2000, true);
  for (let i = 1; i <= 4; i++) ack(400 + 4 * i, 2000);
  t.equal(train.rate, 500);
});

t.test("Train: a flight whose first ACK came before says nothing", async t => {
  const train = new Train();
  const ack = (at: number, roundStart = false): void =>
    train.onSample({ delivered: 2000, roundStart, now: at } as AckSample, 1000);
  for (let i = 1; i <= 4; i++) ack(50_000 + i);
  t.equal(train.rate, 0);
  ack(50_100, true);
  for (let i = 1; i <= 4; i++) ack(50_100 + i);
  t.equal(train.rate, 2000, "nor does it hold down the next one");
});

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

/** Of the link, by what comes in from here on. */
function shareOfTwoSeconds(pair: Pair, connection: TcpConnection): number {
  const { bytesIn } = connection;
  pair.world.run(2_000);
  return (connection.bytesIn - bytesIn) / 2_000 / RATE;
}

t.test("a path that is another one, and ten times as long, is found within three seconds", async t => {
  for (const [before, after] of [
    [10, 100],
    [0.4, 50],
  ] as const) {
    const conditions = link(before, 0);
    const pair = new Pair({ seed: 5, link: conditions, down: 200_000_000, stack: { congestion: "bbr" } });
    const { connection } = pair.connect();
    pair.world.run(2_000);
    const ends = [pair.clientLink, pair.serverLink];
    for (const end of ends) end.filter = () => false;
    pair.world.run(700);
    for (const end of ends) Object.assign(end, { filter: null, conditions: link(after, 0) });
    pair.client.linkRestored(pair.clientLink, pair.world.now);
    pair.server.linkRestored(pair.serverLink, pair.world.now);
    pair.world.run(3_000);
    const reached = shareOfTwoSeconds(pair, connection);
    t.ok(reached > 0.5, `${before} to ${after} ms: ${reached.toFixed(2)} of the link`);
  }
});

t.test("§5.3.4.3: a path that has become longer without a word is found within seconds", async t => {
  for (const [before, after] of [
    [10, 100],
    [20, 80],
    [50, 80],
  ] as const) {
    const pair = new Pair({
      seed: 5,
      link: link(before, 0),
      down: 200_000_000,
      stack: { congestion: "bbr" },
    });
    const { connection } = pair.connect();
    pair.world.run(3_000);
    for (const end of [pair.clientLink, pair.serverLink]) end.conditions = link(after, 0);
    pair.world.run(5_000);
    const reached = shareOfTwoSeconds(pair, connection);
    t.ok(reached > 0.85, `${before} to ${after} ms: ${reached.toFixed(2)} of the link`);
  }
});

t.test("§5.3.4.3: a path that is now faster, now slower, is no longer one", async t => {
  const pair = new Pair({ seed: 2, link: link(5, 0), down: 200_000_000, stack: { congestion: "bbr" } });
  const { connection } = pair.connect();
  let possible = 0;
  for (let step = 0; step < 50; step++) {
    const bytesPerMs = RATE * (0.5 + 0.5 * pair.random.real());
    pair.serverLink.conditions = { ...link(5, 0), bytesPerMs };
    pair.world.run(200);
    possible += 200 * bytesPerMs;
  }
  const reached = connection.bytesIn / possible;
  t.ok(reached > 0.85, `${reached.toFixed(2)} of what the link had`);
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

/** A path of RTT_MS and RATE, and a sender that sends what it may: one ACK per millisecond. */
function drive(bbr: Bbr, ms: number, change: Partial<AckSample> = {}, path = RATE): void {
  for (let i = 0; i < ms; i++) {
    now++;
    const inFlight = Math.min(bbr.cwnd, bbr.pacingRate * RTT_MS);
    const delivered = Math.min(path, inFlight / RTT_MS);
    const roundStart = now % RTT_MS === 0;
    bbr.onSample({
      delivered,
      lost: 0,
      inFlight,
      rate: delivered,
      appLimited: false,
      roundStart,
      rtt: RTT_MS,
      srtt: RTT_MS,
      now,
      ...change,
    });
  }
}
const RTT_MS = 40;
let now = 0;

function started(ms: number): Bbr {
  const bbr = new Bbr();
  bbr.setMss(1380);
  drive(bbr, ms);
  return bbr;
}

t.test(
  "§5.6.4: in the end the window is what fills the path, a quarter and ten milliseconds, and pacing is at its rate",
  async t => {
    const bbr = started(3000);
    const product = RATE * RTT_MS;
    t.ok(bbr.cwnd > 1.45 * product && bbr.cwnd < 1.65 * product, `${(bbr.cwnd / product).toFixed(2)}`);
    t.ok(bbr.pacingRate > 0.7 * RATE && bbr.pacingRate < 1.3 * RATE, `${(bbr.pacingRate / RATE).toFixed(2)}`);
  },
);

t.test(
  "§5.3.1.3: a queue that overflows ends a start-up that gains nothing; as many losses as chance brings do not",
  async t => {
    const random = started(200);
    drive(random, 60, { lost: 0.03 * RATE });
    const slow = random.pacingRate;
    const overflow = started(200);
    drive(overflow, 60, { lost: 0.3 * RATE });
    t.ok(overflow.pacingRate < slow / 2, `${overflow.pacingRate.toFixed(0)} after ${slow.toFixed(0)}`);
  },
);

t.test("§5.6.4: after a round of heavy loss, or a mark, less may be in flight; it comes back", async t => {
  for (const hurt of [
    (bbr: Bbr) => drive(bbr, RTT_MS, { lost: 0.3 * RATE }),
    (bbr: Bbr) => bbr.onEcnEcho(bbr.cwnd),
  ]) {
    const bbr = started(3000);
    const before = bbr.cwnd;
    hurt(bbr);
    drive(bbr, RTT_MS);
    t.ok(bbr.cwnd < 0.95 * before, `${bbr.cwnd} of ${before}`);
    drive(bbr, 1000);
    t.ok(bbr.cwnd >= before);
  }
});

t.test(
  "§5.6.4.4: after a time-out it sends one segment, and has its window back with the recovery",
  async t => {
    const bbr = started(3000);
    const before = bbr.cwnd;
    bbr.onTimeout();
    t.equal(bbr.cwnd, 1380);
    bbr.onRecovered();
    t.equal(bbr.cwnd, before);
  },
);

t.test("§5.3.3.4: a path that has become much faster is found within two", async t => {
  const bbr = started(3000);
  drive(bbr, 2000, {}, 20 * RATE);
  t.ok(bbr.pacingRate > 10 * RATE, `${(bbr.pacingRate / RATE).toFixed(1)} times as fast`);
});

t.test("§5.3.1: start-up stops growing while a queue shows, and goes on when it was jitter", async t => {
  const free = started(30);
  const before = free.cwnd;
  drive(free, 20, { rtt: RTT_MS + 8 });
  const held = free.cwnd;
  drive(free, 20);
  const again = started(70);
  t.ok(held < before + 9 * RATE && held > before, "eight ACKs to be sure");
  t.ok(free.cwnd > held && free.cwnd < again.cwnd, `${before} ${held} ${free.cwnd} ${again.cwnd}`);
});

t.test(
  "§5.6.4.4: a time-out while a queue holds start-up back lets the window grow all the same",
  async t => {
    const bbr = started(60);
    drive(bbr, 20, { rtt: RTT_MS + 30, roundStart: false });
    const before = bbr.cwnd;
    bbr.onTimeout();
    drive(bbr, 2 * RTT_MS, { rtt: RTT_MS + 30, roundStart: false });
    t.ok(bbr.cwnd > 4 * 1380, `${bbr.cwnd} after ${before}`);
  },
);

t.test("a ring that is too small for a long and lossy path is no idle application", async t => {
  const reached = share("bbr", link(200, 0.01, 200), 40_000_000);
  t.ok(reached > 0.45, `${reached.toFixed(2)} of the link`);
});

t.test("§5.3.4.3: a path that has become longer is believed after ten seconds", async t => {
  const bbr = started(3000);
  const before = bbr.cwnd;
  drive(bbr, 8000, { rtt: 2 * RTT_MS });
  t.equal(bbr.cwnd, before);
  drive(bbr, 4000, { rtt: 2 * RTT_MS });
  t.ok(bbr.cwnd > 1.8 * before, `${bbr.cwnd} after ${before}`);
});

t.test("a short path is not paced, and its window is that of SHORT_PATH_MS", async t => {
  const bbr = new Bbr();
  bbr.setMss(1380);
  drive(bbr, 1000, { rtt: 0.2, delivered: RATE, rate: RATE });
  t.equal(bbr.pacingRate, Number.POSITIVE_INFINITY);
  t.ok(bbr.cwnd >= 4 * RATE, `${bbr.cwnd}`);
});

t.test("Pacer: a burst of a millisecond, then the rate", async t => {
  const pacer = new Pacer({ pacingRate: 1000 });
  let now = 1000;
  let sent = 0;
  for (; now < 1100; now += 0.25) {
    for (let left = pacer.allowance(now); left > 0; left -= 500) {
      pacer.onSent(500, now);
      sent += 500;
    }
  }
  t.ok(sent >= 99_000 && sent <= 104_000, `${sent} bytes in 100 ms`);
  t.equal(new Pacer({ pacingRate: Number.POSITIVE_INFINITY }).allowance(now), Number.POSITIVE_INFINITY);
});

t.test("Pacer: late wake-ups keep up the rate, a pause is not made up for", async t => {
  const pacer = new Pacer({ pacingRate: 1000 });
  let sent = 0;
  const wake = (now: number): void => {
    for (let left = pacer.allowance(now); left > 0; left -= 500) {
      pacer.onSent(500, now);
      sent += 500;
    }
  };
  for (let now = 1000; now < 1200; now += 8) {
    wake(now);
    pacer.wait();
  }
  t.ok(sent >= 190_000 && sent <= 204_000, `${sent} bytes in 200 ms`);
  wake(1208);
  sent = 0;
  wake(2000);
  t.ok(sent <= 4_000, `${sent} bytes after a pause`);
});
