/** `npm run sim` in small: whole transfers over seeded links, every byte compared. */
import t from "tap";
import { runFlows } from "./sim/flows.js";
import { runScenario } from "./sim/run.js";
import { scenarioOf } from "./sim/scenario.js";
import { measureCell } from "./sim/table.js";

const TRANSFERS = 300;

t.test("seeded transfers arrive whole and leave nothing behind", async t => {
  for (let seed = 1; seed <= TRANSFERS; seed++) {
    const failure = runScenario(scenarioOf(seed));
    if (failure !== null) t.fail(`npm run sim -- --seed ${seed}: ${failure}`);
  }
  t.pass(`${TRANSFERS} transfers`);
});

t.test("RFC 7323 §2.2: a path of 100 Mbit/s and 50 ms is filled", async t => {
  const { share } = measureCell("cubic", 50, 0);
  t.ok(share >= 0.95, `${(100 * share).toFixed(1)} % of the link`);
});

t.test("many flows at once: every byte arrives, idle ones are small, closed ones are gone", async t => {
  const { failure, usedBytes, closedBytes } = runFlows(1000, 1);
  t.equal(failure, null);
  // What the compiler makes meanwhile is counted too, and is a larger part of few flows than of many.
  t.ok(usedBytes < 5500, `${usedBytes} bytes per idle connection`);
  t.ok(closedBytes < 1500, `${closedBytes} bytes of each stay`);
});
