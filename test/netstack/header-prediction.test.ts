/**
 * Header prediction (`tcp/header-prediction.ts`): the short way must come to what the usual way comes to. Three stacks get the
 * same segments: one by one; those of equal length together; and with checksums to verify, which keeps to the usual way.
 */
import t from "tap";
import type { Counters } from "../../src/netstack/counters.js";
import { pattern, RawPeer, type SegmentSpec, synOptions } from "./raw-peer.js";
import { Prng } from "./sim/prng.js";

const SEGMENT = 536;
/** How many segments too late or too early one may come. */
const REACH = 6;

type Options = ConstructorParameters<typeof RawPeer>[0];

class Trio {
  readonly short: RawPeer;
  readonly together: RawPeer;
  readonly usual: RawPeer;

  /** @param establish null: left to the caller */
  constructor(options: Options, establish: Parameters<RawPeer["establish"]>[0] | null) {
    this.short = new RawPeer(options);
    this.together = new RawPeer(options);
    this.usual = new RawPeer(options);
    if (establish !== null) for (const peer of this.all) peer.establish(establish);
  }

  get all(): readonly RawPeer[] {
    return [this.short, this.together, this.usual];
  }

  batch(specs: readonly SegmentSpec[]): void {
    for (const spec of specs) {
      this.short.inject(this.short.segment(spec), true);
      this.usual.inject(this.usual.segment(spec), false);
    }
    let alike: Uint8Array[] = [];
    for (const packet of specs.map(spec => this.together.segment(spec))) {
      if (alike.length > 0 && packet.length !== alike[0]?.length) {
        this.together.injectAlike(alike);
        alike = [];
      }
      alike.push(packet);
    }
    this.together.injectAlike(alike);
    for (const peer of this.all) peer.dispatch();
  }

  /** Everything that anybody could tell a short way from the usual one by. */
  states(): [unknown, unknown] {
    const usual = seen(this.usual);
    return [
      [seen(this.short), untimed(seen(this.together))],
      [usual, untimed(usual)],
    ];
  }
}

/** Several segments at once are acknowledged at once: no time is set by which the first one is at the latest. */
function untimed(state: ReturnType<typeof seen>): object {
  return { ...state, wakeAt: null, ackAt: state.ackNow === true ? null : state.ackAt };
}

function seen(peer: RawPeer): { ackNow?: boolean; ackAt?: number; [name: string]: unknown } {
  const { connection: c, closed } = peer;
  const packets = peer.packets.map(packet => Buffer.from(packet).toString("hex"));
  const counters = { ...peer.stack.counters, tcpPredicted: 0 } satisfies Counters;
  if (c === null) return { packets, counters, closed };
  const { snd, rcv } = c;
  return {
    packets,
    counters,
    closed,
    state: c.state,
    bytesIn: c.bytesIn,
    lastHeardAt: c.lastHeardAt,
    wakeAt: peer.stack.pollAt(),
    snd: [snd.una, snd.nxt, snd.wnd, snd.wl1, snd.wl2, snd.maxWnd, c.sendTimer],
    ackNow: rcv.ackNow,
    ackAt: rcv.ackAt,
    rcv: [rcv.nxt, rcv.edge, rcv.duplicatesOwed, rcv.finSeen],
    text: Buffer.from(peer.read()).toString("hex"),
  };
}

/** What a peer may send next, mostly the obvious. */
function next(random: Prng, at: { seq: number; ack: number; window: number }): SegmentSpec {
  const plain: SegmentSpec = {
    flags: ".",
    seq: at.seq,
    ack: at.ack,
    window: at.window,
    data: pattern(SEGMENT),
  };
  switch (random.between(0, 40)) {
    case 0:
      return { ...plain, seq: at.seq - SEGMENT * random.between(1, REACH) };
    case 1:
      return { ...plain, seq: at.seq + SEGMENT * random.between(1, REACH) };
    case 2:
      at.window = random.between(1_000, 60_000);
      return { ...plain, window: at.window };
    case 3:
      return { ...plain, marked: true };
    case 4:
      return { ...plain, flags: "P." };
    case 5:
      return { ...plain, flags: "W." };
    case 6:
      return { ...plain, flags: ".E" };
    case 7:
      return { ...plain, data: pattern(random.between(0, SEGMENT - 1)) };
    case 8:
      return { ...plain, sack: [[at.ack + 10, at.ack + 20]] };
    case 9:
      return { ...plain, ack: at.ack - random.between(1, 100) };
    case 10:
      return random.between(0, 4) === 0
        ? { ...plain, flags: "F.", seq: at.seq + SEGMENT * random.between(0, 2) }
        : plain;
    case 11:
      return random.between(0, 9) === 0 ? { ...plain, flags: "R" } : plain;
    default:
      return plain;
  }
}

for (const family of [4, 6] as const) {
  t.test(
    `RFC 9293 §3.10.7.4: any order of segments ends as without the prediction, IPv${family}`,
    async t => {
      let predicted = 0;
      let all = 0;
      for (let seed = 1; seed <= 150; seed++) {
        const random = Prng.numbered(seed);
        const timestamps = random.between(0, 7) === 0;
        const trio = new Trio(
          { family, ringBytes: random.between(0, 1) === 0 ? 65_536 : 4_096 },
          { sack: random.between(0, 3) > 0, scale: 2, timestamps },
        );
        const at = { seq: 1, ack: 1, window: 20_000 };
        for (let batch = 0; batch < 40; batch++) {
          if (random.between(0, 5) === 0)
            for (const peer of trio.all) if (!peer.sendRing.aborted) peer.write("question");
          const specs: SegmentSpec[] = [];
          for (let i = random.between(1, 12); i > 0; i--) {
            let spec = next(random, at);
            if (timestamps) spec = { ...spec, timestamps: [1 + batch, 1] };
            // The next ones are like it.
            for (let like = random.between(0, 2); like >= 0; like--) {
              specs.push(spec);
              if (spec.seq === at.seq) at.seq += spec.data?.length ?? 0;
              spec = { ...spec, seq: (spec.seq as number) + (spec.data?.length ?? 0) };
            }
          }
          trio.batch(specs);
          const { usual } = trio;
          const [mine, its] = trio.states();
          if (JSON.stringify(mine) !== JSON.stringify(its)) {
            t.same(mine, its, `seed ${seed}, batch ${batch}`);
            return;
          }
          // What the stack has sent is acknowledged, most of the time.
          if (random.between(0, 2) > 0 && usual.connection !== null) {
            at.ack = (usual.connection.snd.nxt - usual.irs) | 0;
          }
          const ms = random.between(0, 3) === 0 ? random.between(0, 300) : 0;
          for (const peer of trio.all) {
            peer.packets = [];
            peer.gsoSizes = [];
            peer.step(ms);
          }
        }
        predicted += trio.short.stack.counters.tcpPredicted;
        t.equal(trio.together.stack.counters.tcpPredicted, trio.short.stack.counters.tcpPredicted);
        all += trio.short.stack.counters.packetsIn;
        t.equal(trio.usual.stack.counters.tcpPredicted, 0);
      }
      t.ok(predicted > all / 10, `${predicted} of ${all} took the short way`);
    },
  );
}

t.test("a batch of a download takes the short way but for its first and last segment", async t => {
  const trio = new Trio({ ringBytes: 1 << 20 }, { sack: true, scale: 7 });
  const specs = Array.from({ length: 44 }, (_, i) => ({
    flags: i === 43 ? "P." : ".",
    seq: 1 + i * SEGMENT,
    ack: 1,
    data: pattern(SEGMENT),
  }));
  trio.batch(specs);
  t.equal(trio.short.stack.counters.tcpPredicted, 42);
  t.equal(trio.together.stack.counters.tcpPredicted, 42);
  t.same(...trio.states());
});

t.test("RFC 3168 §6.1.3: marks in a row are all seen", async t => {
  const trio = new Trio({}, null);
  for (const peer of trio.all) {
    peer.send({ flags: "SEW", options: synOptions({ sack: true }) });
    peer.sent();
    peer.send({ flags: ".", seq: 1, ack: 1 });
  }
  const specs = Array.from({ length: 4 }, (_, i) => ({
    flags: ".",
    seq: 1 + i * SEGMENT,
    ack: 1,
    marked: true,
    data: pattern(SEGMENT),
  }));
  trio.batch(specs);
  t.equal(trio.short.stack.counters.tcpEcnMarked, 4);
  t.same(...trio.states());
});

t.test("the ring's owner lets go in the middle of a batch: reset, by either way", async t => {
  const trio = new Trio({}, { sack: true });
  for (const peer of trio.all) {
    const trusted = peer !== trio.usual;
    const segments = [0, 1, 2, 3].map(i =>
      peer.segment({ flags: ".", seq: 1 + i * SEGMENT, ack: 1, data: pattern(SEGMENT) }),
    );
    const give = (some: readonly Uint8Array[]): void => {
      if (peer === trio.together) peer.injectAlike(some);
      else for (const segment of some) peer.inject(segment, trusted);
    };
    give(segments.slice(0, 2));
    peer.receiveRing.abort();
    give(segments.slice(2));
    peer.dispatch();
  }
  t.equal(trio.short.closed, "reset");
  t.same(...trio.states());
});

t.test("RFC 9293 §3.10.7.4, eighth step: a FIN that came early counts once its gap is filled", async t => {
  const trio = new Trio({}, { sack: true });
  for (const peer of trio.all) {
    peer.write("question");
    peer.dispatch();
  }
  const at = (i: number): number => 1 + i * SEGMENT;
  const plain = (i: number): SegmentSpec => ({ flags: ".", seq: at(i), ack: 9, data: pattern(SEGMENT) });
  // It was sent before the question was heard, and tells no window: what is behind it was sent again.
  trio.batch([plain(0), { ...plain(3), flags: "F.", ack: 1 }, plain(1), plain(2)]);
  t.equal(trio.usual.connection?.state, "CLOSE-WAIT");
  t.same(...trio.states());
});
