/** What a turn of the loop gives to each of many streams that always have something to read. */
import t from "tap";
import type { KernelStream } from "../../src/dataplane/kernel-stream.js";
import { StreamQueue, TURN_READ_BYTES } from "../../src/dataplane/stream-queue.js";

/** A queue, streams for it, and whom a turn serves. */
function setUp() {
  const queue = new StreamQueue();
  const served: string[] = [];
  const stream = (name: string, bytes: number, full: boolean, isBrief = false): KernelStream => {
    const self = {
      isBrief,
      service(): number {
        served.push(name);
        if (full) queue.push(self);
        return bytes;
      },
    } as unknown as KernelStream;
    return self;
  };
  const turn = (): string => {
    served.length = 0;
    queue.flush(0);
    return served.join(" ");
  };
  return { queue, stream, turn };
}

t.test("a turn ends when its share is read, and who was not served is first in the next", async t => {
  const { queue, stream, turn } = setUp();
  queue.push(stream("small", 100, false));
  queue.push(stream("a", TURN_READ_BYTES, true));
  queue.push(stream("b", TURN_READ_BYTES / 2, true));
  queue.push(stream("c", TURN_READ_BYTES / 2, true));
  t.equal(turn(), "small a");
  t.equal(queue.pollAt(), 0, "another turn at once");
  t.equal(turn(), "b c");
  t.equal(turn(), "a");
  t.equal(turn(), "b c");
});

t.test("who says little is served before those that say much", async t => {
  const { queue, stream, turn } = setUp();
  for (const name of ["a", "b", "c"]) queue.push(stream(name, TURN_READ_BYTES, true));
  t.equal(turn(), "a");
  queue.push(stream("answer", 100, false, true));
  t.equal(turn(), "answer b");
  t.equal(turn(), "c");
});

t.test("and however many they are, the others go on", async t => {
  const { queue, stream, turn } = setUp();
  queue.push(stream("download", TURN_READ_BYTES, true));
  for (const name of ["x", "y", "z"]) queue.push(stream(name, TURN_READ_BYTES / 2, true, true));
  t.equal(turn(), "x y download");
  t.equal(turn(), "z x download");
  t.equal(queue.pollAt(), 0);
});

t.test(
  "who says little when it queues and much when its turn comes, waits like those that say much",
  async t => {
    const { queue, stream, turn } = setUp();
    const changed = stream("changed", 100, false, true);
    queue.push(stream("a", TURN_READ_BYTES / 2, false));
    queue.push(changed);
    Object.assign(changed, { isBrief: false });
    queue.push(stream("answer", 100, false, true));
    t.equal(turn(), "answer a changed");
    t.equal(turn(), "");
  },
);
