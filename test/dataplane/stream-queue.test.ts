/** What a turn of the loop gives to each of many streams that always have something to read. */
import t from "tap";
import { StreamQueue, TURN_READ_BYTES } from "../../src/dataplane/context.js";
import type { KernelStream } from "../../src/dataplane/kernel-stream.js";

t.test("a turn ends when its share is read, and who was not served is first in the next", async t => {
  const queue = new StreamQueue();
  const served: string[] = [];
  const stream = (name: string, bytes: number, full: boolean): KernelStream => {
    const self = {
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
