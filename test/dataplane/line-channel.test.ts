import t from "tap";
import { Arena } from "../../src/base/index.js";
import { LineChannel } from "../../src/dataplane/line-channel.js";
import { Loop } from "../../src/dataplane/loop.js";
import { Poller, sockets } from "../../src/linux/index.js";

/** A channel on one end of a socket pair, and the other end as the test's. */
function setUp(onLine: (line: string, channel: LineChannel) => void) {
  const arena = new Arena(1 << 20);
  const loop = new Loop(new Poller(arena));
  const [ours, theirs] = sockets.pair();
  const at = arena.reserve(LineChannel.BUFFER_BYTES);
  let ended = false;
  const channel: LineChannel = new LineChannel(
    { arena, loop },
    ours,
    arena.reserve(LineChannel.BUFFER_BYTES),
    {
      onLine: line => onLine(line, channel),
      onEnd: () => {
        ended = true;
      },
    },
  );
  const receive = (): string => {
    let text = "";
    for (;;) {
      const length = sockets.read(arena, theirs, at, LineChannel.BUFFER_BYTES);
      if (length <= 0) return text;
      text += Buffer.from(arena.buffer, at, length).toString();
    }
  };
  return { loop, channel, theirs, receive, ended: () => ended };
}

t.test("an answer does not overwrite the lines that came with the question", async t => {
  const heard: string[] = [];
  const answer = `${"a".repeat(5000)}\n`;
  const { loop, theirs, receive } = setUp((line, channel) => {
    heard.push(line);
    channel.write(answer);
  });
  sockets.writeText(theirs, `first\nsecond ${"s".repeat(3000)}\nthi`);
  loop.turn(1000);
  sockets.writeText(theirs, "rd\n");
  loop.turn(1000);
  t.same(heard, ["first", `second ${"s".repeat(3000)}`, "third"]);
  t.equal(receive(), answer.repeat(3));
});

t.test("what the socket does not take now goes out later, in order", async t => {
  const { loop, channel, receive } = setUp(() => {});
  const lines = Array.from({ length: 2000 }, (_, i) => `${i} ${"x".repeat(1000)}\n`);
  for (const line of lines) channel.write(line);
  let text = "";
  for (let turns = 0; turns < 1000 && text.length < lines.join("").length; turns++) {
    text += receive();
    loop.turn(1);
  }
  t.ok(text === lines.join(""), "two megabytes, whole");
});

t.test("the end is told once", async t => {
  const { loop, theirs, channel, ended } = setUp(() => t.fail("no line was sent"));
  sockets.close(theirs);
  loop.turn(1000);
  t.ok(ended());
  channel.write("to nobody\n");
  channel.close();
});

t.test("an event of a closed descriptor does not reach the one that got its number", async t => {
  const arena = new Arena(1 << 20);
  const loop = new Loop(new Poller(arena));
  const [first, firstPeer] = sockets.pair();
  const [second, secondPeer] = sockets.pair();
  const woken: string[] = [];
  let reused = -1;
  // Both become readable in one batch; whoever is served first closes the other and opens a new one.
  const replaceOther = (name: string, own: number, other: number) => () => {
    woken.push(name);
    sockets.read(arena, own, 0, 64);
    if (reused !== -1) return;
    loop.remove(other);
    sockets.close(other);
    const [fresh] = sockets.pair();
    reused = fresh;
    loop.add(fresh, 0x1, { onReady: () => woken.push("stranger") });
  };
  loop.add(first, 0x1, { onReady: replaceOther("first", first, second) });
  loop.add(second, 0x1, { onReady: replaceOther("second", second, first) });
  sockets.writeText(firstPeer, "x");
  sockets.writeText(secondPeer, "x");
  loop.turn(1000);
  t.equal(woken.length, 1, `${woken}`);
  t.ok(reused === first || reused === second, "the number was given out again");
});
