/** When the loop asks again before it sleeps, and when it sleeps at once. Virtual time, in milliseconds. */
import t from "tap";
import { Linger } from "../../src/dataplane/linger.js";

/** A poller with events at times, and a processor on which a yield takes `yieldMs` because of others. */
function world() {
  let now = 1_000;
  let eventAt = Number.POSITIVE_INFINITY;
  let slept = 0;
  let asked = 0;
  const state = { yieldMs: 0.002 };
  const poller = {
    wait(timeoutMs: number): number {
      if (timeoutMs === 0) asked++;
      else slept++;
      if (eventAt > now && eventAt <= now + timeoutMs) now = eventAt;
      else if (eventAt > now) {
        now += timeoutMs;
        return 0;
      }
      eventAt = Number.POSITIVE_INFINITY;
      return 1;
    },
  };
  const processor = {
    now: () => now,
    yield: () => {
      now += state.yieldMs;
    },
  };
  const linger = new Linger(poller, processor);
  /** A turn of `turnMs`, and a wait at whose `afterMs` there is an event. How it was waited for. */
  const turn = (afterMs: number, turnMs = 0.02, timeoutMs = 100): "slept" | "lingered" | "both" => {
    now += turnMs;
    eventAt = now + afterMs;
    slept = asked = 0;
    linger.wait(timeoutMs, now);
    return slept === 0 ? "lingered" : asked === 0 ? "slept" : "both";
  };
  const trips = (count: number, afterMs = 0.1) => {
    const how = new Set<string>();
    for (let i = 0; i < count; i++) how.add(turn(afterMs));
    return [...how];
  };
  return { turn, trips, state, now: () => now, wait: (timeoutMs: number) => linger.wait(timeoutMs, now) };
}

t.test("after a dozen short waits it lingers, and as long as they are short", async t => {
  const { trips } = world();
  t.same(trips(12), ["slept"]);
  t.same(trips(1_000), ["lingered"]);
});

t.test("it lingers for a fifth of a millisecond and sleeps for the rest of the time-out", async t => {
  const { trips, turn, now, wait } = world();
  trips(30);
  const since = now();
  t.equal(wait(7), 0);
  t.ok(Math.abs(now() - since - 7) < 1e-9, `${now() - since}`);
  t.equal(turn(5), "both", "one long wait may be chance");
  t.equal(turn(5), "slept");
});

t.test("events that come less often find it asleep", async t => {
  t.same(world().trips(1_000, 0.5), ["slept"]);
  const { turn } = world();
  const how = new Set<string>();
  for (let i = 0; i < 1_000; i++) how.add(turn(i % 2 === 0 ? 0.05 : 1));
  t.same([...how], ["slept"], "a server that takes a millisecond, and a client that takes none");
  for (let i = 0; i < 1_000; i++) how.add(turn(i % 6 === 0 ? 0.5 : 0.1));
  t.same([...how], ["slept"], "many flows that speak a little: five short waits, and a long one");
});

t.test("bulk is not lingered for: turns that take long, or a chain of them without a wait", async t => {
  const { turn, trips, wait } = world();
  trips(20);
  t.equal(turn(0.1, 0.3), "slept");
  t.equal(turn(0.1), "slept");
  trips(20);
  for (let i = 0; i < 5; i++) {
    turn(0, 0.02, 0);
    wait(0);
  }
  t.equal(turn(0.1), "slept");
});

t.test("a timer that is due sooner than it would linger is slept for", async t => {
  const { turn, trips } = world();
  trips(20);
  t.equal(turn(0.05, 0.02, 0.1), "slept");
});

t.test("where yielding stalls it gives up, for longer each time", async t => {
  const { trips, turn, state, now } = world();
  trips(20);
  state.yieldMs = 3;
  const pauses: number[] = [];
  let since = now();
  while (pauses.length < 12) {
    const before = now();
    if (turn(0.1) === "slept") continue;
    // Three stalls in a row are one end of the lingering.
    if (before - since > 10) pauses.push(before - since);
    since = now();
  }
  t.ok(
    pauses.length === 12 && pauses.every((ms, i) => i === 0 || ms > 0.9 * (pauses[i - 1] as number)),
    `${pauses}`,
  );
  t.ok((pauses[0] as number) < 30 && (pauses.at(-1) as number) > 1_900 && (pauses.at(-1) as number) < 2_200);
  state.yieldMs = 0.002;
  trips(30_000);
  t.equal(turn(0.1), "lingered", "the program has ended");
  state.yieldMs = 3;
  for (let i = 0; i < 3; i++) turn(0.1);
  since = now();
  state.yieldMs = 0.002;
  while (turn(0.1) === "slept");
  t.ok(now() - since < 30, `long ago is forgotten: ${now() - since}`);
});

t.test("a stall now and then, of a host that has taken the processor away, is forgiven", async t => {
  const { turn, trips, state } = world();
  trips(20);
  for (let i = 0; i < 100; i++) {
    state.yieldMs = 0.15;
    t.equal(turn(0.1), "lingered");
    state.yieldMs = 0.002;
    t.same(trips(10), ["lingered"]);
  }
});
