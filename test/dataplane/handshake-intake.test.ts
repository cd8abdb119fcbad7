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
  return { intake, interest, turn };
}

t.test("a flood: 64 messages a turn, 640 in 10 ms, and not even watched for the rest", async t => {
  const { intake, interest, turn } = setUp(100_000, 1);
  t.same(
    Array.from({ length: 12 }, () => turn(5)),
    [...new Array(10).fill(64), 0, 0],
  );
  t.same(interest, [0], "the descriptor, which stays ready, does not keep the loop turning");
  t.equal(intake.pollAt(), 15);
  t.equal(turn(14.9), 0);
  t.equal(turn(15), 64);
  t.same(interest, [0, EPOLLIN]);
  let total = 0;
  for (let now = 100; now < 1100; now += 0.1) total += turn(now);
  t.ok(total >= 63_000 && total <= 65_000, `${total} in a second`);
});

t.test("messages of a GRO batch count one by one", async t => {
  const { turn } = setUp(100_000, 64);
  t.same(
    Array.from({ length: 12 }, () => turn(5)),
    [...new Array(10).fill(64), 0, 0],
  );
});

t.test("what trickles in is all taken, and nothing waits", async t => {
  const { intake, interest, turn } = setUp(30, 1);
  t.equal(turn(1), 30);
  t.equal(turn(2), 0);
  t.same(interest, []);
  t.equal(intake.pollAt(), Number.POSITIVE_INFINITY);
});
