/** When the thread that carries packets stays on its processor, and when it lets go. */
import t from "tap";
import { NEVER } from "../../src/base/index.js";
import { StayPut } from "../../src/dataplane/stay-put.js";

/** A loop that turns each millisecond, and a scheduler that grants or refuses it time. */
function world({ pinned = false } = {}) {
  let now = 5_000;
  let cpuMs = 7_000;
  let held = false;
  let changes = 0;
  const placement = {
    hold: () => {
      if (pinned) return false;
      changes++;
      held = true;
      return true;
    },
    letGo: () => {
      changes++;
      held = false;
    },
  };
  const machine = new StayPut(placement, () => cpuMs);
  /** Turns for `ms`, of which the thread has this share on a processor. True if it is held at the end. */
  const work = (ms: number, share: number): boolean => {
    for (let i = 0; i < ms; i++) {
      now++;
      cpuMs += share;
      if (machine.pollAt() <= now) machine.poll(now);
      machine.flush(now);
    }
    return held;
  };
  /** The loop sleeps until `pollAt`. */
  const sleep = (): boolean => {
    now = machine.pollAt();
    machine.poll(now);
    machine.flush(now);
    return held;
  };
  return { machine, work, sleep, changes: () => changes };
}

t.test("a busy thread is held, a quiet one is free", async t => {
  const { work } = world();
  t.equal(work(100, 0.4), false, "round trips of one byte");
  t.equal(work(60, 0.8), true);
  t.equal(work(60, 0.5), false, "the processor is shared with another");
});

t.test("what it did before the first look does not count as busy", async t => {
  const { work, changes } = world();
  work(100, 0);
  t.equal(changes(), 0);
});

t.test("it lets go for a moment every two seconds", async t => {
  const { work, changes } = world();
  let free = 0;
  for (let i = 0; i < 20_000; i++) if (!work(1, 0.8)) free++;
  t.ok(changes() >= 2 * 9 && changes() <= 2 * 10, `${changes()} changes`);
  t.ok(free >= 9 * 20 && free < 11 * 25, `free for ${free} ms`);
});

t.test("a loop that goes to sleep is woken to let go, and then left alone", async t => {
  const { machine, work, sleep } = world();
  t.equal(machine.pollAt(), NEVER);
  t.equal(work(60, 0.8), true);
  // At first for what it did since the last look.
  t.equal(sleep(), true);
  t.equal(sleep(), false);
  t.equal(machine.pollAt(), NEVER);
});

t.test("a thread that is not ours to place is never said to be held", async t => {
  const { machine, work, changes } = world({ pinned: true });
  work(200, 0.8);
  t.equal(machine.pollAt(), NEVER);
  t.equal(changes(), 0);
});
