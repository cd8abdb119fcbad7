/** What flows of one link leave to each other: how much each may have in flight, and whose turn comes first. */
import t from "tap";
import { Attachment } from "../../src/netstack/attachment.js";
import type { TcpConnection } from "../../src/netstack/index.js";
import type { Link } from "../../src/netstack/link.js";
import { BusyFlows } from "../../src/netstack/tcp/busy-flows.js";
import { UNLIMITED } from "../../src/netstack/tcp/congestion/control.js";
import { type End, Pair } from "./sim/pair.js";
import { PERFECT } from "./sim/sim-link.js";

const SHARED = 2 << 20;
const ROUND_MS = 50;

/** Flows that send `bytes` in each of two turns of a round, with what they may have in flight in the round after. */
function shareAfter(busy: BusyFlows, flows: number, bytes: number, start: number): number {
  const all = Array.from({ length: flows }, (_, i) => ({
    snd: { nxt: (0x7fffff00 + i) | 0 },
    busyRound: -1,
    busyFrom: 0,
  }));
  for (let turn = 0; turn < 4; turn++) {
    for (const flow of all) {
      busy.note(flow, start + turn);
      flow.snd.nxt = (flow.snd.nxt + bytes) | 0;
    }
  }
  busy.note({ snd: { nxt: 0 }, busyRound: -1, busyFrom: 0 }, start + ROUND_MS);
  return busy.share;
}

t.test("busy flows share; one, two, and those that send little are not limited", async t => {
  const busy = new BusyFlows();
  t.equal(busy.share, UNLIMITED);
  t.equal(shareAfter(busy, 1, 1 << 20, 1000), UNLIMITED, "one");
  t.equal(shareAfter(busy, 2, 1 << 20, 2000), UNLIMITED, "two");
  t.equal(shareAfter(busy, 8, 1 << 20, 3000), SHARED / 8, "eight");
  t.equal(shareAfter(busy, 1000, 100, 4000), UNLIMITED, "a thousand that send 400 bytes in 50 ms");
  t.equal(shareAfter(busy, 1000, 1 << 20, 5000), 64 << 10, "a thousand transfers: no less than that");
});

t.test("what was, long ago, limits nobody", async t => {
  const busy = new BusyFlows();
  for (let i = 0; i < 8; i++) {
    const flow = { snd: { nxt: 0 }, busyRound: -1, busyFrom: 0 };
    busy.note(flow, 1000);
    flow.snd.nxt = 1 << 20;
    busy.note(flow, 1001);
  }
  busy.note({ snd: { nxt: 0 }, busyRound: -1, busyFrom: 0 }, 60_000);
  t.equal(busy.share, UNLIMITED);
});

/** Most bytes that the server has in flight at any time, once `flows` downloads are under way. */
function mostInFlight(flows: number, delayMs: number): number {
  const bytesPerMs = 100_000;
  const pair = new Pair({
    seed: 3,
    link: { ...PERFECT, delayMs, bytesPerMs },
    down: 1 << 30,
    stack: { congestion: "cubic" },
  });
  const servers: End[] = [];
  pair.onSyn = connection => {
    servers.push(pair.takeServerEnd(connection));
    connection.accept();
  };
  for (let i = 0; i < flows; i++) pair.connect();
  pair.world.run(500);
  let most = 0;
  for (let ms = 0; ms < 100; ms++) {
    pair.world.run(1);
    most = Math.max(
      most,
      servers.reduce((sum, { connection }) => sum + connection.snd.outstanding, 0),
    );
  }
  return most;
}

t.test("eight transfers keep a short path's queue as short as two", async t => {
  const [one, eight] = [mostInFlight(1, 0.1), mostInFlight(8, 0.1)];
  t.ok(one > 0.9 * (1 << 20), `${one} bytes of one flow`);
  t.ok(eight <= SHARED && eight > SHARED / 2, `${eight} bytes of eight`);
});

t.test("a long path is filled by as many as there are", async t => {
  const eight = mostInFlight(8, 20);
  t.ok(eight > 2 * SHARED, `${eight} bytes`);
});

t.test("who has little to send has its turn before those who have much, and each once", async t => {
  const attachment = new Attachment({} as Link, 1, () => {});
  const connection = (name: string, isBrief: boolean): TcpConnection => {
    return { name, isBrief, queued: false, nextQueued: null } as unknown as TcpConnection;
  };
  const rest = (): string => {
    let names = "";
    for (let c = attachment.dequeue(); c !== null; c = attachment.dequeue())
      names += (c as unknown as { name: string }).name;
    return names;
  };
  const [a, b, c, d] = [
    connection("a", false),
    connection("b", true),
    connection("c", false),
    connection("d", true),
  ] as [TcpConnection, TcpConnection, TcpConnection, TcpConnection];
  for (const one of [a, b, c, d, a, b]) attachment.enqueue(one);
  t.equal(rest(), "bdac");
  t.ok(attachment.idle);

  for (const one of [a, b, c]) attachment.enqueue(one);
  t.equal(attachment.dequeue(), b);
  attachment.enqueueLast(b);
  t.equal(rest(), "acb", "after its turn it waits like everybody");

  for (const one of [a, c, d]) attachment.enqueue(one);
  t.equal(attachment.dequeue(), d);
  attachment.requeueFirst(d);
  t.equal(attachment.dequeue(), d, "a link that takes nothing costs no turn");
  t.equal(attachment.dequeue(), a);
  attachment.requeueFirst(a);
  t.equal(rest(), "ac");

  attachment.closed = true;
  for (const one of [a, b]) attachment.enqueue(one);
  attachment.enqueueLast(c);
  attachment.requeueFirst(d);
  t.ok(attachment.idle, "nobody queues on a link that is gone");
});
