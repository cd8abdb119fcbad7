/** The loop's turns over a poller that is told what is ready; and when a source looks for a second packet. */
import t from "tap";
import { NEVER } from "../../src/base/index.js";
import { Loop, type Machine } from "../../src/dataplane/loop.js";
import { SecondLook } from "../../src/dataplane/second-look.js";
import type { Poller } from "../../src/linux/index.js";

/** Descriptors that are ready, turn by turn; and for how long each turn would have blocked. */
function world(ready: number[][]): { loop: Loop; waits: number[] } {
  const waits: number[] = [];
  let current: number[] = [];
  const poller = {
    add: () => 0,
    wait(timeoutMs: number) {
      waits.push(timeoutMs);
      current = ready.shift() ?? [];
      return current.length;
    },
    fdAt: (i: number) => current[i] as number,
    eventsAt: () => 1,
  };
  return { loop: new Loop(poller as unknown as Poller), waits };
}

class Probe implements Machine {
  at = NEVER;
  polls = 0;
  flushes = 0;

  poll(): void {
    this.polls++;
    this.at = NEVER;
  }

  flush(): void {
    this.flushes++;
  }

  pollAt(): number {
    return this.at;
  }
}

t.test("what a source makes due is polled in a turn that does not block; nothing else is polled", async t => {
  const { loop, waits } = world([[], [7], [], []]);
  const [machine, other] = [new Probe(), new Probe()];
  loop.addMachine(machine);
  loop.addMachine(other);
  loop.add(7, 1, {
    onReady(_events, now) {
      machine.at = now;
    },
  });
  for (let i = 0; i < 4; i++) loop.turn();
  t.same(waits, [NEVER, NEVER, 0, NEVER]);
  t.same([machine.polls, other.polls], [1, 0]);
  t.same([machine.flushes, other.flushes], [4, 4]);
});

t.test("a machine that is due when the turn begins is polled in it", async t => {
  const { loop, waits } = world([]);
  const machine = new Probe();
  loop.addMachine(machine);
  machine.at = 0;
  loop.turn();
  t.same([waits, machine.polls], [[0], 1]);
});

t.test("only who was ready in the turn before looks for a second packet", async t => {
  const look = new SecondLook();
  const turns = [3, 5, 6, 7, 9, 11, 12];
  t.same(
    turns.map(turn => look.isWorthwhile(turn)),
    [false, false, true, true, false, false, true],
  );
});
