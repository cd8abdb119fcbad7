/** How much of a flood of handshake messages a turn and a window of the loop take in. */
import t from "tap";
import { Arena } from "../../src/base/index.js";
import type { Context } from "../../src/dataplane/context.js";
import { HandshakeIntake } from "../../src/dataplane/handshake-intake.js";
import { EAGAIN, EPOLLIN, type UdpSocket } from "../../src/linux/index.js";

/** An intake whose socket holds `waiting` batches of `segments` messages of 148 bytes each. */
function setUp(waiting: number, segments: number) {
  const arena = new Arena(1 << 20);
  const interest: number[] = [];
  let left = waiting;
  const socket = {
    fd: 9,
    segmentBytes: 148,
    receive: () => (left-- > 0 ? 148 * segments : -EAGAIN),
  };
  const loop = { add: () => 0, modify: (_fd: number, events: number) => interest.push(events) };
  let taken = 0;
  const intake = new HandshakeIntake(
    { arena, loop } as unknown as Context,
    socket as unknown as UdpSocket,
    (_offset, total) => {
      taken += total / 148;
    },
  );
  /** Messages that one turn takes in. */
  const turn = (now: number): number => {
    const before = taken;
    if (intake.pollAt() <= now) intake.poll(now);
    if (interest.at(-1) !== 0) intake.onReady(EPOLLIN, now);
    return taken - before;
  };
  const arrive = (batches: number): void => {
    left = batches;
  };
  return { intake, interest, turn, arrive };
}

t.test("a flood: a batch of 64 in a millisecond, and not even watched for the rest of it", async t => {
  const { intake, interest, turn } = setUp(1_000_000, 1);
  t.same([turn(5), turn(5.1), turn(5.9)], [64, 0, 0]);
  t.same(interest, [0], "the descriptor, which stays ready, does not keep the loop turning");
  t.equal(intake.pollAt(), 6);
  t.equal(turn(6), 64);
  t.same(interest, [0, EPOLLIN, 0]);
  let total = 0;
  for (let now = 100; now < 1100; now += 0.25) total += turn(now);
  t.equal(total, 64_000, "in a second");
});

t.test("messages of a GRO batch count one by one", async t => {
  const { turn } = setUp(100_000, 64);
  t.same([turn(5), turn(5.5), turn(6)], [64, 0, 64]);
});

t.test("a few are taken at once, and nothing waits", async t => {
  const { intake, interest, turn, arrive } = setUp(0, 1);
  for (let now = 1; now < 100; now += 1.5) {
    arrive(8);
    t.equal(turn(now), 8);
    t.equal(intake.pollAt(), Number.POSITIVE_INFINITY);
  }
  t.same(interest, []);
  arrive(5);
  t.equal(turn(200), 5);
  arrive(5);
  t.equal(turn(200.5), 5, "the ninth of a millisecond as well");
  arrive(5);
  t.equal(turn(200.9), 0, "what comes after it waits for the next");
  t.equal(turn(201), 5);
});
