/** The machine was suspended: CLOCK_BOOTTIME went on while CLOCK_MONOTONIC, and our timers with it, stood still. */
import { mock } from "node:test";
import t from "tap";
import { type NetworkEvent, NetworkWatch } from "../../src/daemon/network-watch.js";

t.test("a suspension is noticed within two seconds of its end, once", async t => {
  mock.timers.enable({ apis: ["setInterval"] });
  t.teardown(() => mock.timers.reset());
  let asleepMs = 90_000;
  const events: NetworkEvent[] = [];
  const watch = new NetworkWatch(
    event => events.push(event),
    () => asleepMs,
  );
  t.teardown(() => watch.close());
  mock.timers.tick(10_000);
  t.same(events, [], "an earlier one is none of ours");
  asleepMs += 5;
  mock.timers.tick(2_000);
  t.same(events, [], "two clocks read one after the other differ a little");
  asleepMs += 30_000;
  mock.timers.tick(2_000);
  t.same(events, ["resumed"]);
  mock.timers.tick(10_000);
  t.same(events, ["resumed"]);
});
