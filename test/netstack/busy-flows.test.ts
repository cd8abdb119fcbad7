/** What flows of one link leave to each other: how much each may have in flight, and whose turn comes first. */
import t from "tap";
import { Attachment } from "../../src/netstack/attachment.js";
import type { TcpConnection } from "../../src/netstack/index.js";
import type { Link } from "../../src/netstack/link.js";
import { BusyFlows } from "../../src/netstack/tcp/busy-flows.js";
import { UNLIMITED } from "../../src/netstack/tcp/congestion/control.js";
import { type End, Pair } from "./sim/pair.js";
import { PERFECT } from "./sim/sim-link.js";

const SHARED = 4 << 20;
const ROUND_MS = 50;

interface Fake {
  busyRound: number;
  busyFrom: number;
  next: number;
}

/** What each may have in flight when `flows` have sent `bytes` in each of two rounds, over a path of `pathRtt`. */
function shareAfter(busy: BusyFlows, flows: number, bytes: number, start: number, pathRtt = 0.4): number {
  const all: Fake[] = Array.from({ length: flows }, (_, i) => ({
    busyRound: -1,
    busyFrom: 0,
    next: (0x7fffff00 + i) | 0,
  }));
  for (let round = 0; round < 3; round++) {
    for (const turn of [0, 1]) {
      for (const flow of all) {
        busy.note(flow, flow.next, pathRtt, start + round * ROUND_MS + turn);
        flow.next = (flow.next + bytes / 2) | 0;
      }
    }
  }
  return busy.share;
}

t.test("busy flows share; four, and those that send little, are not limited", async t => {
  const busy = new BusyFlows();
  t.equal(busy.share, UNLIMITED);
  t.equal(shareAfter(busy, 1, 1 << 20, 1000), UNLIMITED, "one");
  t.equal(shareAfter(busy, 4, 1 << 20, 2000), UNLIMITED, "four");
  t.equal(shareAfter(busy, 8, 1 << 20, 3000), SHARED / 8, "eight");
  t.equal(shareAfter(busy, 8, 1 << 20, 4000, 2), UNLIMITED, "eight, over 2 ms");
  t.equal(shareAfter(busy, 1000, 64 << 10, 5000), UNLIMITED, "a thousand that send 64 KiB in 50 ms");
  t.equal(shareAfter(busy, 1000, 1 << 20, 6000), 64 << 10, "a thousand transfers: no less than that");
});

t.test("the busiest know how long the path is", async t => {
  const busy = new BusyFlows();
  const flows: Fake[] = Array.from({ length: 8 }, () => ({ busyRound: -1, busyFrom: 0, next: 0 }));
  const [newcomer, quiet] = [
    { busyRound: -1, busyFrom: 0 },
    { busyRound: -1, busyFrom: 0 },
  ];
  const rounds = (count: number, pathRtt: number, start: number): void => {
    for (let round = 0; round < count; round++) {
      for (const flow of flows) {
        busy.note(flow, flow.next, pathRtt, start + round * ROUND_MS);
        flow.next += 1 << 20;
      }
      busy.note(newcomer, flows[0]?.next as number, 6, start + round * ROUND_MS);
      busy.note(quiet, round, 0.4, start + round * ROUND_MS);
    }
  };
  rounds(3, 0.4, 1000);
  t.equal(
    busy.share,
    Math.floor(SHARED / 9),
    "one that has only seen the others' queue is limited like them",
  );
  rounds(2, 40, 1150);
  t.equal(busy.share, UNLIMITED, "one that says little has not seen that the path is another");
});

t.test("what was, long ago, limits nobody", async t => {
  const busy = new BusyFlows();
  t.equal(shareAfter(busy, 8, 1 << 20, 1000), SHARED / 8);
  busy.note({ busyRound: -1, busyFrom: 0 }, 0, 0.4, 60_000);
  t.equal(busy.share, UNLIMITED);
});

/** Downloads over one link, which begin with `connect`. */
function downloads(delayMs: number, bytesPerMs: number): { pair: Pair; servers: End[]; taken: () => number } {
  const pair = new Pair({
    seed: 3,
    link: { ...PERFECT, delayMs, bytesPerMs },
    down: 1 << 30,
    stack: { congestion: "bbr" },
  });
  const servers: End[] = [];
  pair.onSyn = connection => {
    servers.push(pair.takeServerEnd(connection));
    connection.accept();
  };
  const taken = (): number => servers.reduce((sum, { connection }) => sum + connection.bytesOut, 0);
  return { pair, servers, taken };
}

/** Most bytes that `flows` downloads have in flight together at any time, once they are under way. */
function mostInFlight(flows: number, delayMs: number, bytesPerMs: number): number {
  const { pair, servers } = downloads(delayMs, bytesPerMs);
  for (let i = 0; i < flows; i++) pair.connect();
  pair.world.run(300);
  let most = 0;
  for (let ms = 0; ms < 20; ms++) {
    pair.world.run(1);
    const all = servers.reduce((sum, { connection }) => sum + connection.snd.outstanding, 0);
    most = Math.max(most, all);
  }
  return most;
}

t.test("eight transfers keep a short path's queue as short as four", async t => {
  const [one, eight] = [mostInFlight(1, 0.1, 1_500_000), mostInFlight(8, 0.1, 1_500_000)];
  t.ok(one > 0.9 * (1 << 20), `${one} bytes of one flow`);
  t.ok(eight <= SHARED && eight > SHARED / 2, `${eight} bytes of eight`);
});

t.test("a long path is filled by as many as there are", async t => {
  const eight = mostInFlight(8, 20, 150_000);
  t.ok(eight > 2 * SHARED, `${eight} bytes`);
});

t.test("nor does it stay short when it is long", async t => {
  const rate = 60_000;
  const { pair, servers, taken } = downloads(0.2, rate);
  for (let i = 0; i < 8; i++) pair.connect();
  pair.world.run(500);
  t.ok(servers.every(({ connection }) => connection.attachment.busyFlows.share < UNLIMITED));
  for (const link of [pair.clientLink, pair.serverLink])
    link.conditions = { ...link.conditions, delayMs: 40 };
  pair.world.run(4000);
  const before = taken();
  pair.world.run(500);
  const share = (taken() - before) / 500 / rate;
  t.ok(share > 0.8, `${(100 * share).toFixed(0)} % of a path that is filled by 4.8 MB`);
});

t.test("who begins beside others has no more than they", async t => {
  const rate = 120_000;
  const { pair, servers } = downloads(0.2, rate);
  for (let i = 0; i < 8; i++) pair.connect();
  pair.world.run(500);
  pair.connect();
  pair.world.run(300);
  const connections = servers.map(({ connection }) => connection);
  const newcomer = connections.at(-1) as TcpConnection;
  t.equal(connections.length, 9);
  t.ok(newcomer.snd.rtt.minRtt > 2, `${newcomer.snd.rtt.minRtt} ms is what it takes for the path`);
  const { share } = newcomer.attachment.busyFlows;
  t.ok(share <= SHARED / 5, `${share} bytes`);
  t.ok(connections.every(({ attachment }) => attachment.busyFlows.share === share));
  t.ok(newcomer.snd.outstanding <= share, `${newcomer.snd.outstanding} bytes in flight`);
  const part = newcomer.bytesOut / (300 * rate);
  t.ok(part < 0.4, `${(100 * part).toFixed(0)} % of the path`);
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

  attachment.enqueue(b);
  Object.assign(b, { isBrief: false });
  attachment.enqueue(d);
  t.equal(rest(), "db", "who has been given more since is brief no more");

  attachment.closed = true;
  for (const one of [a, b]) attachment.enqueue(one);
  attachment.enqueueLast(c);
  attachment.requeueFirst(d);
  t.ok(attachment.idle, "nobody queues on a link that is gone");
});

t.test("and nobody waits for ever behind them, where a link takes little at a time", async t => {
  const attachment = new Attachment({} as Link, 1, () => {});
  const turns = { brief: 0, bulk: 0 };
  const connection = (isBrief: boolean): TcpConnection =>
    ({ isBrief, queued: false, nextQueued: null }) as unknown as TcpConnection;
  for (let i = 0; i < 6; i++) attachment.enqueue(connection(true));
  attachment.enqueue(connection(false));
  for (let dispatch = 0; dispatch < 1000; dispatch++) {
    // Four turns, and the fifth finds the link blocked.
    for (let turn = 0; turn < 5; turn++) {
      const next = attachment.dequeue() as TcpConnection;
      if (turn === 4) attachment.requeueFirst(next);
      else {
        turns[next.isBrief ? "brief" : "bulk"]++;
        attachment.enqueue(next);
      }
    }
  }
  t.equal(turns.brief + turns.bulk, 4000);
  t.ok(turns.bulk >= 60, `${turns.bulk} turns of one that has much to send`);
});
