import t from "tap";
import { RestartDelay } from "../../src/dataplane/index.js";

/** The delays after deaths, each so long after its start. */
function delays(delay: RestartDelay, livesMs: readonly number[]): number[] {
  let now = 0;
  return livesMs.map(lifeMs => {
    delay.started(now);
    now += lifeMs;
    const waitMs = delay.died(now);
    now += waitMs;
    return waitMs;
  });
}

t.test("the first is followed at once, those that keep dying ever later", async t => {
  const lives = Array.from({ length: 9 }, () => 50);
  t.strictSame(delays(new RestartDelay(), lives), [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
});

t.test("one that has lived for ten seconds, or has worked, is followed at once", async t => {
  const delay = new RestartDelay();
  t.strictSame(delays(delay, [50, 50, 9_999, 10_000, 50, 50]), [0, 100, 200, 0, 100, 200]);
  delay.worked();
  t.strictSame(delays(delay, [50, 50]), [0, 100]);
});
