/** The small data structures, each against a naive twin. */
import t from "tap";
import { Address } from "../../src/base/index.js";
import { FlowKey, FlowTable } from "../../src/netstack/flow-key.js";
import { RateLimit } from "../../src/netstack/rate-limit.js";
import { Assembler } from "../../src/netstack/tcp/assembler.js";
import { HalfSipHash } from "../../src/netstack/tcp/isn.js";
import { Rack } from "../../src/netstack/tcp/rack.js";
import { RttEstimator } from "../../src/netstack/tcp/rtt.js";
import { SentEntriesPool } from "../../src/netstack/tcp/sent-entries.js";
import { LOST, SACKED, SentQueue } from "../../src/netstack/tcp/sent-queue.js";
import { seqLeq, seqLt, seqMax, seqMin } from "../../src/netstack/tcp/seq.js";
import { nextState, TCP_STATES, type TcpEvent } from "../../src/netstack/tcp/states.js";
import { type Timed, TimerHeap } from "../../src/netstack/timer-heap.js";
import { Prng } from "./sim/prng.js";

t.test("RFC 9293 §3.4: comparisons hold across the wrap", async t => {
  t.ok(seqLt(-1, 0) && seqLt(0x7fffffff, -0x80000000) && seqLeq(5, 5));
  t.notOk(seqLt(0, -1));
  t.equal(seqMax(-1, 3), 3);
  t.equal(seqMin(0x7fffffff, -0x80000000), 0x7fffffff);
});

t.test("RFC 9293 figure 5: the transition table", async t => {
  const walk = (events: TcpEvent[], from: (typeof TCP_STATES)[number]) =>
    events.map(event => {
      from = nextState(from, event) ?? from;
      return from;
    });
  const active = walk(["syn-acked", "fin-sent", "fin-acked", "fin"], "SYN-SENT");
  t.same(active, ["ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2", "TIME-WAIT"]);
  const passive = walk(["accepted", "syn-acked", "fin", "fin-sent", "fin-acked"], "LISTEN");
  t.same(passive, ["SYN-RECEIVED", "ESTABLISHED", "CLOSE-WAIT", "LAST-ACK", "CLOSED"]);
  const both = walk(["syn", "syn-acked", "fin-sent", "fin", "fin-acked"], "SYN-SENT");
  t.same(both, ["SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1", "CLOSING", "TIME-WAIT"]);
  const all: TcpEvent[] = ["accepted", "syn", "syn-acked", "fin-sent", "fin-acked", "fin"];
  const known = TCP_STATES.flatMap(state => all.filter(event => nextState(state, event) !== undefined));
  t.equal(known.length, 12, "and no other");
  t.notOk(
    all.some(event => nextState("CLOSED", event) ?? nextState("TIME-WAIT", event)),
    "both are final",
  );
});

t.test("Assembler equals a set of bytes, around the wrap", async t => {
  const random = new Prng(3);
  const blocks = new Int32Array(8);
  for (let run = 0; run < 200; run++) {
    const assembler = new Assembler();
    const origin = 0x7fffff00;
    const have = new Set<number>();
    let next = 0;
    for (let step = 0; step < 60; step++) {
      const left = next + random.between(1, 400);
      const right = left + random.between(1, 80);
      if (random.chance(0.8)) {
        assembler.add((origin + left) | 0, (origin + right) | 0);
        for (let i = left; i < right; i++) have.add(i);
        const most = random.between(1, 4);
        const used = assembler.report(blocks, most);
        const duplicate = used > 0 && used <= most && blocks[0] === ((origin + left) | 0) ? 1 : 0;
        if (used < 1 || used > most) t.fail("number of blocks");
        for (let i = duplicate; i < used; i++) {
          const from = ((blocks[2 * i] as number) - origin) | 0;
          const to = ((blocks[2 * i + 1] as number) - origin) | 0;
          for (let at = from; at < to; at++) if (!have.has(at)) t.fail("reports what it does not have");
          if (have.has(to) || have.has(from - 1)) t.fail("a block is not maximal");
        }
      } else {
        next += random.between(1, 120);
        while (!have.has(next) && random.chance(0.3)) next++;
        const following = assembler.take((origin + next) | 0);
        let expected = 0;
        while (have.has(next + expected)) expected++;
        if (following !== expected) t.fail(`take gave ${following}, not ${expected}`);
        next += expected;
      }
    }
  }
});

t.test("SentEntriesPool keeps what a burst needs again, not what thousands needed at once", async t => {
  const pool = new SentEntriesPool();
  const made = Array.from({ length: 1_000 }, () => pool.withCapacity(16));
  const large = pool.withCapacity(4096);
  for (const entries of [...made, large]) pool.giveBack(entries);
  const known = new Set([...made, large]);
  t.ok(known.has(pool.forBurst(4096)), "small ones take no large one's place");
  const again = made.filter(() => known.has(pool.withCapacity(16))).length;
  t.ok(again >= 64 && again <= 256, `${again} small ones were kept`);
});

t.test("SentQueue keeps its sums right through marks, growth, splits and shifts", async t => {
  const random = new Prng(5);
  const queue = new SentQueue(new SentEntriesPool());
  let next = 0x7ffffff0 | 0;
  const sum = (flag: number) => {
    let bytes = 0;
    for (let i = 0; i < queue.count; i++) if (queue.flagsOf(i) & flag) bytes += queue.lengthOf(i);
    return bytes;
  };
  const sackedSegments = () => {
    let segments = 0;
    for (let i = 0; i < queue.count; i++) {
      if (queue.flagsOf(i) & SACKED) segments += Math.ceil(queue.lengthOf(i) / queue.sizeOf(i));
    }
    return segments;
  };
  for (let step = 0; step < 5000; step++) {
    const index = queue.count === 0 ? 0 : random.between(0, queue.count - 1);
    const what = random.between(0, 9);
    if (what < 4 || queue.count === 0) {
      const end = (next + random.between(2, 5000)) | 0;
      queue.now = step;
      queue.push(next, end, random.between(1000, 1400));
      next = end;
    } else if (what === 4) queue.shift();
    else if (what === 5 && (queue.flagsOf(index) & SACKED) === 0) queue.markSacked(index);
    else if (what === 6) queue.markLost(index);
    else if (what === 7 && (queue.flagsOf(index) & SACKED) === 0) queue.markRetransmitted(index, step);
    else if (what === 8 && queue.lengthOf(index) > 1) queue.split(index, (queue.startOf(index) + 1) | 0);
    else if (what === 9 && queue.lengthOf(0) > 1) queue.trim((queue.startOf(0) + 1) | 0);
    if (queue.sackedBytes !== sum(SACKED) || queue.lostBytes !== sum(LOST)) t.fail(`step ${step}: sums`);
    if (queue.sackedSegments !== sackedSegments()) t.fail(`step ${step}: segments`);
    for (let i = 1; i < queue.count; i++) if (queue.startOf(i) !== queue.endOf(i - 1)) t.fail("a gap");
    const at = queue.count > 0 ? queue.startOf(index) : 0;
    if (queue.count > 0 && queue.firstFrom(at) !== index) t.fail("search");
  }
  t.ok(queue.count > 50);
  queue.forgetSacks();
  t.equal(queue.sackedBytes + queue.sackedSegments, 0);
});

t.test("FlowTable equals a Map, through growth and deletion", async t => {
  const random = new Prng(9);
  const table = new FlowTable<{ key: FlowKey }>(42);
  const naive = new Map<string, { key: FlowKey }>();
  const keyOf = () => {
    const key = new FlowKey();
    key.linkId = random.between(1, 3);
    key.setLocal(
      random.chance(0.5)
        ? Address.v4(random.between(1, 5))
        : Address.from("fd00::1").plus(random.between(0, 5)),
    );
    key.setRemote(Address.v4(random.between(1, 20)));
    key.setPorts(random.between(1, 30), 443);
    return key;
  };
  for (let step = 0; step < 20_000; step++) {
    const key = keyOf();
    const name = `${key.linkId} ${key.local} ${key.remote} ${key.localPort}`;
    const found = table.find(key);
    if (found !== (naive.get(name) ?? null)) t.fail(`step ${step}`);
    if (found === null && random.chance(step % 4000 < 2000 ? 0.9 : 0.1)) {
      const entry = { key };
      table.insert(entry);
      naive.set(name, entry);
    } else if (found !== null && random.chance(0.5)) {
      table.remove(found);
      naive.delete(name);
    }
    if (table.size !== naive.size) t.fail("size");
  }
  t.equal(table.entries().length, naive.size);
});

t.test("TimerHeap wakes in order, never late, and forgets what is cancelled", async t => {
  const random = new Prng(11);
  const heap = new TimerHeap();
  class Item implements Timed {
    wakeAt = 0;
    heapIndex = -1;
    due = Number.POSITIVE_INFINITY;
    woken = 0;
    onWake(now: number): void {
      if (this.due <= now) {
        this.woken++;
        this.due = Number.POSITIVE_INFINITY;
      }
      heap.schedule(this, this.due);
    }
  }
  const items = Array.from({ length: 100 }, () => new Item());
  let expected = 0;
  for (let now = 0; now < 2000; now++) {
    const item = items[random.between(0, 99)] as Item;
    if (random.chance(0.2)) {
      heap.cancel(item);
      item.due = Number.POSITIVE_INFINITY;
    } else {
      item.due = now + random.between(1, 50);
      heap.schedule(item, item.due);
    }
    expected += items.filter(each => each.due <= now).length;
    heap.poll(now);
    if (items.some(each => each.due <= now)) t.fail("late");
    const earliest = Math.min(...items.map(each => each.due));
    if (heap.next > earliest) t.fail("next is later than a deadline");
  }
  t.equal(
    items.reduce((sum, item) => sum + item.woken, 0),
    expected,
  );
  heap.poll(10_000);
  t.equal(heap.next, Number.POSITIVE_INFINITY);
});

t.test("HalfSipHash-2-4: the reference vectors", async t => {
  const hash = (words: number[]) => {
    const state = new HalfSipHash(0x03020100, 0x07060504);
    for (const word of words) state.absorb(word);
    return state.finish(4 * words.length) >>> 0;
  };
  t.equal(hash([]), 0x5b9f35a9);
  t.equal(hash([0x03020100]), 0x89466e2a);
});

t.test("RFC 6298 §2: SRTT, RTTVAR and RTO", async t => {
  const rtt = new RttEstimator();
  t.ok(Math.abs(rtt.rto - 1000) < 1, "§2.1");
  rtt.sample(400, 400, 0);
  t.equal(rtt.rto, 400 + 4 * 200, "§2.2");
  rtt.sample(600, 500, 10);
  t.equal(rtt.srtt, 0.875 * 400 + 0.125 * 600, "§2.3");
  t.equal(rtt.rttvar, 0.75 * 200 + 0.25 * 200);
  t.equal(rtt.minRtt, 400);
  rtt.backoff = 3;
  t.equal(rtt.rto, 8 * (425 + 800), "§5.5");
  rtt.backoff = 30;
  t.equal(rtt.rto, 120_000, "§2.5");
});

t.test("RateLimit: a burst, then a rate", async t => {
  const limit = new RateLimit(100, 10);
  const taken = (from: number, to: number) => {
    let count = 0;
    for (let now = from; now < to; now++) while (limit.take(now)) count++;
    return count;
  };
  t.equal(taken(0, 1), 10);
  t.ok(Math.abs(taken(1, 1001) - 100) <= 1);
});

t.test(
  "RFC 8985 §6.2: DSACKs widen the reordering window once a round, however much was sent since",
  async t => {
    const queue = new SentQueue(new SentEntriesPool());
    const rtt = new RttEstimator();
    const rack = new Rack();
    rtt.sample(100, 100, 0);
    queue.now = 0;
    queue.push(0, 100, 100);
    queue.push(100, 200, 100);
    queue.now = 100;
    rack.onDelivered(queue, 1, 200, rtt);
    queue.markSacked(1);
    const window = (): number => rack.detectLosses(queue, rtt, false, 100);
    t.equal(window(), 25);
    rack.onDsack(1000);
    rack.onAck(500, false);
    rack.onDsack(2000);
    t.equal(window(), 50, "once in this round");
    for (let una = 0; una < 0xa000_0000; una += 0x1000_0000) rack.onAck((2000 + una) | 0, false);
    rack.onDsack(0);
    t.equal(window(), 75, "2.5 GiB later");
  },
);
