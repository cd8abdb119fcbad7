import t from "tap";
import { Arena } from "../../src/base/index.js";
import {
  boottimeMs,
  EPOLLET,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  EPOLLRDHUP,
  monotonicMs,
  Poller,
  sockets,
} from "../../src/linux/index.js";

const EEXIST = 17;
const ENOENT = 2;

t.test("reports which of several descriptors are ready, and what for", async t => {
  const poller = new Poller(new Arena(65_536));
  const [a, aPeer] = sockets.pair();
  const [b, bPeer] = sockets.pair();
  t.equal(poller.add(a, EPOLLIN), 0);
  t.equal(poller.add(b, EPOLLIN | EPOLLRDHUP), 0);
  t.equal(poller.add(b, EPOLLIN), -EEXIST);
  t.equal(poller.wait(0), 0);

  sockets.writeText(bPeer, "x");
  t.equal(poller.wait(Number.POSITIVE_INFINITY), 1);
  t.equal(poller.fdAt(0), b);
  t.equal(poller.eventsAt(0), EPOLLIN);

  sockets.close(bPeer);
  sockets.writeText(aPeer, "x");
  t.equal(poller.wait(-1), 2);
  const events = new Map([0, 1].map(i => [poller.fdAt(i), poller.eventsAt(i)]));
  t.equal(events.get(a), EPOLLIN);
  t.equal(events.get(b), EPOLLIN | EPOLLRDHUP | EPOLLHUP);

  t.equal(poller.modify(a, EPOLLOUT), 0);
  t.equal(poller.remove(b), 0);
  t.equal(poller.remove(b), -ENOENT);
  t.equal(poller.wait(0), 1);
  t.equal(poller.eventsAt(0), EPOLLOUT);
  for (const fd of [a, aPeer, b]) sockets.close(fd);
  poller.close();
});

t.test("edge-triggered: an event once per change", async t => {
  const poller = new Poller(new Arena(65_536));
  const [a, peer] = sockets.pair();
  poller.add(a, EPOLLIN | EPOLLET);
  sockets.writeText(peer, "x");
  t.equal(poller.wait(0), 1);
  t.equal(poller.wait(0), 0);
  sockets.writeText(peer, "y");
  t.equal(poller.wait(0), 1);
  for (const fd of [a, peer]) sockets.close(fd);
  poller.close();
});

t.test("never reports more events than it has room for; the rest come next", async t => {
  const poller = new Poller(new Arena(65_536), 2);
  const fds = [0, 1, 2].flatMap(() => sockets.pair());
  for (const fd of fds) poller.add(fd, EPOLLOUT);
  t.equal(poller.wait(0), 2);
  const first = [poller.fdAt(0), poller.fdAt(1)];
  t.equal(poller.wait(0), 2);
  t.notSame([poller.fdAt(0), poller.fdAt(1)], first);
  for (const fd of fds) sockets.close(fd);
  poller.close();
});

t.test("a timeout is not cut short, and fractions of a millisecond count", async t => {
  const poller = new Poller(new Arena(65_536));
  for (const timeoutMs of [0.3, 1.7, 5]) {
    let shortest = Number.POSITIVE_INFINITY;
    for (let i = 0; i < 5; i++) {
      const start = monotonicMs();
      t.equal(poller.wait(timeoutMs), 0);
      shortest = Math.min(shortest, monotonicMs() - start);
    }
    // One of five is on time even on a busy machine.
    t.ok(shortest >= timeoutMs && shortest < timeoutMs + 5, `${timeoutMs} ms took ${shortest} ms`);
  }
  poller.close();
});

t.test("boottimeMs goes on like the monotonic clock", async t => {
  const [boot, mono] = [boottimeMs(), monotonicMs()];
  const poller = new Poller(new Arena(65_536));
  poller.wait(2);
  const [bootPassed, monoPassed] = [boottimeMs() - boot, monotonicMs() - mono];
  t.ok(Math.abs(bootPassed - monoPassed) < 1, `${bootPassed} and ${monoPassed} ms`);
  poller.close();
});
