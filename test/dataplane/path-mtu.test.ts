import t from "tap";
import { type Milliseconds, NEVER } from "../../src/base/index.js";
import { BASE_BYTES, PathMtu } from "../../src/dataplane/path-mtu.js";
import { TimerHeap } from "../../src/netstack/index.js";

const LARGEST = 1420;
const RTT_MS = 40;

interface Path {
  /** Largest inner packet that passes; what is larger vanishes. */
  carries: number;
  /** What the kernel believes. */
  kernel: number;
  /** The peer answers echo requests. */
  answers: boolean;
  session: boolean;
  /** Whether this one is lost by chance. */
  loses: (bytes: number) => boolean;
}

/** A search over a path with a virtual clock; `sizes` are those that were in use one after the other. */
function setUp(path: Partial<Path> = {}) {
  const link: Path = {
    carries: LARGEST,
    kernel: 1440,
    answers: true,
    session: true,
    loses: () => false,
    ...path,
  };
  const timers = new TimerHeap();
  const probes: { at: Milliseconds; bytes: number }[] = [];
  const sizes: { at: Milliseconds; bytes: number }[] = [];
  const answers: { at: Milliseconds; sequence: number }[] = [];
  let now = 1_000;
  const search = new PathMtu(
    LARGEST,
    {
      probe: (bytes, sequence) => {
        if (!link.session) return "unable";
        probes.push({ at: now, bytes });
        if (link.answers && bytes <= link.carries && !link.loses(bytes)) {
          answers.push({ at: now + RTT_MS, sequence });
        }
        return "sent";
      },
      kernelLimit: () => link.kernel,
      resized: () => sizes.push({ at: now, bytes: search.size }),
    },
    timers,
  );
  /** Runs until nothing is due before `until`. */
  const run = (until: Milliseconds): void => {
    for (;;) {
      const next = Math.min(answers[0]?.at ?? NEVER, timers.next);
      if (next > until) break;
      now = Math.max(now, next);
      if (answers[0] !== undefined && answers[0].at <= now) {
        search.onAnswer((answers.shift() as { sequence: number }).sequence, now);
      }
      timers.poll(now);
    }
    now = until;
  };
  const after = (ms: Milliseconds): void => run(now + ms);
  const start = now;
  search.restart(now);
  return { link, search, probes, sizes, after, clock: () => now, start };
}

t.test("RFC 8899 §5.3: a path that carries the configured size costs one attempt", async t => {
  const { search, probes, sizes, after } = setUp();
  after(1_000);
  t.equal(search.state, "confirmed");
  t.equal(search.size, LARGEST);
  t.same(
    probes.map(({ bytes }) => bytes),
    [LARGEST, BASE_BYTES],
  );
  t.same(sizes, []);
});

t.test("RFC 8899 §4.3: a black hole is left within a few round trips, then measured to 16 bytes", async t => {
  for (const carries of [1216, 1220, 1296, 1391, 1404]) {
    const { search, sizes, after, start } = setUp({ carries });
    after(5_000);
    t.equal(sizes[0]?.bytes, BASE_BYTES, `${carries}: the base size first`);
    t.ok((sizes[0]?.at ?? NEVER) - start <= 3 * 1.5 * RTT_MS, `${carries}: at once`);
    t.equal(search.size, carries - (carries % 16), `${carries}: found`);
    t.equal(search.state, "confirmed");
    t.ok((sizes.at(-1)?.at ?? NEVER) - start < 1_000, `${carries}: all within a second`);
  }
});

t.test("RFC 8899 §4.3: a size that stops passing is noticed by a suspicion", async t => {
  const { link, search, after, clock, sizes } = setUp();
  after(10_000);
  link.carries = 1300;
  search.suspect(clock());
  after(500);
  t.equal(sizes[0]?.bytes, BASE_BYTES);
  after(1_000);
  t.equal(search.size, 1296);
  t.equal(search.blackHoles, 1);
});

t.test(
  "RFC 8899 §5.1.1: without a suspicion the confirmation timer notices, while the path is used",
  async t => {
    const { link, search, after, clock, probes } = setUp();
    after(1_000);
    link.carries = 1300;
    const before = probes.length;
    after(60_000);
    t.equal(probes.length, before, "an idle path is not probed");
    search.onSent(BASE_BYTES - 1, clock());
    after(60_000);
    t.equal(probes.length, before, "nor one that carries small packets");
    search.onSent(LARGEST, clock());
    after(17_000);
    t.equal(search.size, 1296);
  },
);

t.test(
  "RFC 8899 §5.1.1: the raise timer finds a path that carries more, and only when it is used",
  async t => {
    const { link, search, after, clock } = setUp({ carries: 1216 });
    after(2_000);
    t.equal(search.size, 1216);
    link.carries = LARGEST;
    for (let i = 0; i < 115; i++) {
      search.onSent(search.size, clock());
      after(5_500);
    }
    t.equal(search.size, LARGEST);
  },
);

t.test("RFC 8899 §5.1.1: a raise that finds nothing keeps the size in use meanwhile", async t => {
  const { search, after, clock, sizes } = setUp({ carries: 1392 });
  after(2_000);
  const before = sizes.length;
  for (let i = 0; i < 115; i++) {
    search.onSent(search.size, clock());
    after(5_500);
  }
  t.equal(search.size, 1392);
  t.equal(sizes.length, before, "it never went down");
});

t.test("RFC 8899 §5.1.2: two lost probes are no black hole", async t => {
  let lose = 2;
  const { search, after, sizes } = setUp({ loses: bytes => bytes === LARGEST && lose-- > 0 });
  after(1_000);
  t.equal(search.size, LARGEST);
  t.same(sizes, []);
});

t.test("a tunnel that carries nothing says nothing about sizes", async t => {
  const { link, search, after, clock, sizes } = setUp();
  after(1_000);
  link.carries = 0;
  search.suspect(clock() + 5_000);
  after(10_000);
  t.equal(search.size, LARGEST);
  t.equal(search.state, "unanswered");
  t.same(sizes, []);
  link.carries = 1300;
  search.onSession(clock());
  after(20_000);
  search.suspect(clock());
  after(2_000);
  t.equal(search.size, 1296, "and it is asked again when it is back");
});

t.test("a peer that answers no echo keeps the size that the kernel knows of", async t => {
  const { link, search, after, clock, probes } = setUp({ answers: false, kernel: 1360 });
  after(5_000);
  t.equal(search.size, 1360);
  t.equal(search.state, "unanswered");
  const before = probes.length;
  for (let i = 0; i < 10; i++) {
    search.suspect(clock());
    after(1_000);
  }
  t.ok(probes.length - before <= 6, "and is not asked all the time");
  link.kernel = 1500;
  search.restart(clock());
  after(5_000);
  t.equal(search.size, LARGEST);
});

t.test("RFC 1191 §3: what ICMP told the kernel is used at once, and bounds the search", async t => {
  const { link, search, after, clock, sizes, probes } = setUp();
  after(10_000);
  link.carries = 1220;
  link.kernel = 1220;
  const before = probes.length;
  const at = clock();
  search.suspect(at);
  after(1_000);
  t.same(sizes, [{ at, bytes: 1216 }]);
  t.ok(
    probes.slice(before).every(({ bytes }) => bytes <= 1216),
    "nothing above it is tried",
  );
  t.equal(search.state, "confirmed");
});

t.test("RFC 8899 §4.6.2: a forged word of the kernel's does not go below the base size", async t => {
  const { search, after } = setUp({ kernel: 492 });
  after(5_000);
  t.equal(search.size, BASE_BYTES);
  t.equal(search.state, "confirmed");
});

t.test("no session: nothing is sent until there is one", async t => {
  const { link, search, after, clock, probes } = setUp({ session: false, carries: 1300 });
  after(60_000);
  t.same(probes, []);
  link.session = true;
  search.onSession(clock());
  after(2_000);
  t.equal(search.size, 1296);
});

t.test("answers to what is no longer asked change nothing", async t => {
  const { search, after, clock, probes } = setUp({ carries: 1216 });
  after(10_000);
  const before = search.size;
  for (let sequence = 0; sequence < 200; sequence++) search.onAnswer(sequence, clock());
  t.equal(search.size, before);
  t.equal(search.state, "confirmed");
  t.ok(probes.length < 60);
});

t.test("a new path is searched from the top", async t => {
  const { link, search, after, clock } = setUp({ carries: 1216 });
  after(2_000);
  t.equal(search.size, 1216);
  link.carries = LARGEST;
  search.restart(clock());
  after(1_000);
  t.equal(search.size, LARGEST);
});

t.test("a peer that is somewhere else with every packet gets ten searches a second", async t => {
  const { search, probes, sizes, after, clock } = setUp({ carries: 1300 });
  for (let packet = 0; packet < 1_000; packet++) {
    search.restart(clock());
    after(1);
  }
  t.equal(probes.length, 2 * 11, "at 0, 100, … 1000 ms");
  t.same(sizes, [], "none of which comes to an end");
  after(5_000);
  t.equal(search.size, 1296, "but the last one");
});
