import t from "tap";
import { Pace } from "../../src/daemon/pace.js";

const LONG_MS = 5_000;

t.test("a burst is one run, in no asker's own turn, and wakes who waits", async t => {
  let runs = 0;
  const pace = new Pace(0, () => {
    runs++;
    return true;
  });
  for (let i = 0; i < 3; i++) pace.ask();
  t.equal(runs, 0);
  await Promise.all([pace.next(LONG_MS), pace.next(LONG_MS)]);
  await pace.next(20);
  t.equal(runs, 1);
  pace.ask();
  await pace.next(LONG_MS);
  t.equal(runs, 2);
});

t.test("runs keep their distance, except from one that says that it does not count", async t => {
  let [runs, counts] = [0, false];
  const pace = new Pace(60_000, () => {
    runs++;
    return counts;
  });
  for (counts of [false, false, true]) {
    pace.ask();
    await pace.next(LONG_MS);
  }
  t.equal(runs, 3);
  pace.ask();
  await pace.next(50);
  t.equal(runs, 3, "a minute from the last");
  pace.stop();
});

t.test("after stop nothing runs, and who waits waits no longer than he said", async t => {
  let runs = 0;
  const pace = new Pace(0, () => {
    runs++;
    return true;
  });
  pace.ask();
  pace.stop();
  await pace.next(20);
  t.equal(runs, 0);
  const stopped = new Pace(0, () => {
    runs++;
    return true;
  });
  stopped.stop();
  stopped.ask();
  await stopped.next(20);
  t.equal(runs, 0);
});
