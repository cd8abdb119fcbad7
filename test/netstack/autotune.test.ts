/** How far the rings of a connection may grow (RFC 7323 §2.2), by what is known of its path. */
import t from "tap";
import { mostRingBytes } from "../../src/netstack/tcp/autotune.js";
import { RttEstimator } from "../../src/netstack/tcp/rtt.js";

const MOST_BYTES = 4 << 20;

t.test(
  "a ring has all the room there is until the path is known to be short, and again when it no longer is",
  async t => {
    const rtt = new RttEstimator();
    const most = (): number => mostRingBytes(rtt, MOST_BYTES);
    t.equal(most(), MOST_BYTES, "nothing is measured yet");
    rtt.sample(50, 50, 0);
    t.equal(most(), MOST_BYTES, "50 ms");
    rtt.sample(0.4, 0.4, 1);
    t.equal(most(), 1 << 20, "0.4 ms");
    rtt.sample(30, 30, 2);
    t.equal(most(), 1 << 20, "0.4 ms, and a queue of our own making");
    for (let now = 40_000; now <= 120_000; now += 1000) rtt.sample(30, 30, now);
    t.equal(most(), MOST_BYTES, "another path: nothing below 30 ms for two minutes");
  },
);

t.test("a limit that is smaller than a short path's stays", async t => {
  const rtt = new RttEstimator();
  rtt.sample(0.4, 0.4, 0);
  t.equal(mostRingBytes(rtt, 64 << 10), 64 << 10);
});
