import t from "tap";
import { Cubic, NewReno } from "../../src/netstack/tcp/congestion/index.js";
import { Prr } from "../../src/netstack/tcp/prr.js";

const MSS = 1000;

/** Acknowledges a window's worth per round trip for `ms`, and gives the window at the end. */
function run(control: Cubic | NewReno, from: number, ms: number, rtt: number): number {
  for (let now = from; now < from + ms; now += rtt) control.onAck(control.cwnd, now, rtt);
  return control.cwnd / MSS;
}

t.test("RFC 6928, RFC 5681 §3.1: ten segments, then doubling", async t => {
  for (const control of [new Cubic(), new NewReno()]) {
    control.setMss(MSS);
    t.equal(control.cwnd, 10 * MSS);
    control.onAck(10 * MSS, 0, 100);
    t.equal(control.cwnd, 20 * MSS, control.name);
  }
});

t.test("RFC 5681 §3.1: NewReno halves, then adds a segment a round trip", async t => {
  const control = new NewReno();
  control.setMss(MSS);
  control.onAck(90 * MSS, 0, 100);
  control.onLoss(100 * MSS, 0);
  control.onRecovered(0);
  t.equal(control.cwnd, 50 * MSS);
  t.ok(Math.abs(run(control, 0, 1000, 100) - 60) <= 1);
});

t.test("RFC 9438 §4.6, §4.2: CUBIC falls to 0.7, is back after K, and then probes beyond", async t => {
  const control = new Cubic();
  control.setMss(MSS);
  control.onAck(990 * MSS, 0, 100);
  t.equal(control.cwnd, 1000 * MSS);
  control.onLoss(1000 * MSS, 0);
  control.onRecovered(0);
  t.equal(control.cwnd, 700 * MSS);
  const k = 1000 * Math.cbrt((0.3 * 1000) / 0.4);
  const half = run(control, 0, k / 2, 100);
  t.ok(half > 930 && half < 980, `concave: ${half} halfway`);
  const back = run(control, k / 2, k / 2, 100);
  t.ok(Math.abs(back - 1000) < 15, `${back} after K`);
  t.ok(run(control, k, k, 100) > 1200, "convex beyond");
});

t.test("RFC 9438 §4.3: on a short path it grows at least as Reno does", async t => {
  const control = new Cubic();
  control.setMss(MSS);
  control.onAck(10 * MSS, 0, 5);
  control.onLoss(20 * MSS, 0);
  control.onRecovered(0);
  const after = run(control, 0, 500, 5);
  t.ok(after > 14 + 100 * 0.5, `${after} segments after 100 round trips`);
});

t.test("RFC 9438 §4.7: fast convergence gives way to new flows", async t => {
  const window = (first: number, second: number) => {
    const control = new Cubic();
    control.setMss(MSS);
    control.onAck((first - 10) * MSS, 0, 100);
    control.onLoss(first * MSS, 0);
    control.onRecovered(0);
    control.cwnd = second * MSS;
    control.onLoss(second * MSS, 1000);
    control.onRecovered(1000);
    return run(control, 1000, 6000, 100);
  };
  t.ok(window(1000, 800) < window(700, 800));
});

t.test("RFC 5681 §3.1: one segment after a time-out, and ssthresh is halved once", async t => {
  for (const control of [new Cubic(), new NewReno()]) {
    control.setMss(MSS);
    control.onAck(90 * MSS, 0, 100);
    control.onTimeout(100 * MSS, 0, true);
    const { ssthresh } = control;
    t.equal(control.cwnd, MSS);
    t.ok(ssthresh >= 50 * MSS && ssthresh <= 70 * MSS);
    control.onTimeout(MSS, 1000, false);
    t.equal(control.ssthresh, ssthresh);
  }
});

t.test("RFC 9438 §4.9, RFC 5682 §3: a time-out or a recovery that was for nothing is undone", async t => {
  for (const control of [new Cubic(), new NewReno()]) {
    control.setMss(MSS);
    control.onAck(90 * MSS, 0, 100);
    control.onLoss(100 * MSS, 0);
    control.onRecovered(0);
    const before = { cwnd: run(control, 0, 1000, 100) * MSS, ssthresh: control.ssthresh };
    control.onTimeout(before.cwnd, 1000, true);
    control.onTimeout(MSS, 1200, false);
    control.onSpurious();
    t.equal(control.cwnd, before.cwnd, control.name);
    t.equal(control.ssthresh, before.ssthresh, control.name);
    t.ok(run(control, 1000, 300, 100) * MSS > before.cwnd, "and growth goes on from there");
    const later = control.cwnd;
    control.onSpurious();
    t.equal(control.cwnd, later, "once");
  }
});

t.test(
  "RFC 3168 §6.1.2, RFC 8511 §3: a mark reduces the window at once; CUBIC by less than a loss",
  async t => {
    const shares = [new Cubic(), new NewReno()].map(control => {
      control.setMss(MSS);
      control.onAck(90 * MSS, 0, 100);
      control.onEcnEcho(100 * MSS, 0);
      t.equal(control.cwnd, control.ssthresh);
      const { cwnd } = control;
      control.onSpurious();
      t.equal(control.cwnd, cwnd, "a mark is never spurious");
      return cwnd / (100 * MSS);
    });
    t.same(shares, [0.85, 0.5]);
  },
);

/** A round trip of ten ACKs that measure `rtt`. Returns the window after it, in segments. */
function round(control: Cubic | NewReno, rtt: number): number {
  for (let i = 0; i < 10; i++) {
    const bytes = control.cwnd / 10;
    const sample = { delivered: bytes, lost: 0, inFlight: control.cwnd, rate: 0, appLimited: false };
    control.onSample({ ...sample, roundStart: i === 0, rtt, srtt: rtt, now: 0 });
    control.onAck(bytes, 0, rtt);
  }
  return control.cwnd / MSS;
}

t.test(
  "RFC 9406 §4.2: slow start slows down when round trips become longer, and ends five rounds later",
  async t => {
    for (const control of [new Cubic(), new NewReno()]) {
      control.setMss(MSS);
      let window = 10;
      for (const rtt of [50, 50, 54]) {
        const grown = round(control, rtt);
        t.ok(grown > 2.4 * window, `${control.name}: doubles and more per round of ten ACKs at ${rtt} ms`);
        window = grown;
      }
      round(control, 61);
      const conservative = control.cwnd / MSS;
      for (let i = 0; i < 4; i++) round(control, 70);
      t.ok(control.cwnd / MSS > 2 * conservative, "a quarter as fast, but it grows");
      t.equal(control.ssthresh, 0x3fffffff);
      round(control, 70);
      t.ok(control.ssthresh < 0x3fffffff && control.cwnd < 1.2 * control.ssthresh, "congestion avoidance");
    }
  },
);

t.test("RFC 9406 §4.2: a round trip that was longer by chance is forgiven", async t => {
  const control = new Cubic();
  control.setMss(MSS);
  for (const rtt of [50, 50, 60, 52]) round(control, rtt);
  for (let i = 0; i < 4; i++) round(control, 50);
  t.equal(control.ssthresh, 0x3fffffff);
});

t.test("a window is spread over its round trip, unless that is short or the window small", async t => {
  for (const control of [new Cubic(), new NewReno()]) {
    control.setMss(MSS);
    round(control, 50);
    t.equal(control.pacingRate, Number.POSITIVE_INFINITY);
    while (control.cwnd < 1000 * MSS) round(control, 50);
    t.ok(control.pacingRate > (1.7 * control.cwnd) / 50 && control.pacingRate <= (2 * control.cwnd) / 50);
    control.onLoss(control.cwnd, 0);
    control.onRecovered(0);
    round(control, 50);
    t.ok(Math.abs(control.pacingRate / ((1.2 * control.cwnd) / 50) - 1) < 0.05, control.name);
    round(control, 1);
    t.equal(control.pacingRate, Number.POSITIVE_INFINITY);
  }
});

t.test("RFC 6937 §3: proportional above ssthresh, bounded below", async t => {
  const prr = new Prr();
  prr.start(100 * MSS, 50 * MSS);
  let inFlight = 99 * MSS;
  let sent = 0;
  for (let delivered = 0; delivered < 99; delivered++) {
    inFlight -= MSS;
    const room = prr.window(MSS, inFlight, MSS, true) - inFlight;
    const now = room - (room % MSS);
    prr.onSent(now);
    sent += now;
    inFlight += now;
  }
  t.ok(Math.abs(inFlight - 50 * MSS) <= 2 * MSS, `ends at ssthresh: ${inFlight}`);
  t.ok(Math.abs(sent - 50 * MSS) <= 2 * MSS, "one out for two in");
});
