/** Each timer rule of the paper's §6 under virtual time, walked through its constant. */
import t from "tap";
import { REJECT_AFTER_MESSAGES, REKEY_AFTER_MESSAGES, REPLAY_WINDOW } from "../../src/wireguard/constants.js";
import { CookieChecker } from "../../src/wireguard/cookie.js";
import { A_TO_B, B_TO_A, endpoint, type Host, pair, type World } from "./world.js";

const INITIATION = 1;
const RESPONSE = 2;

/** A session between a (initiator) and b that is complete at the returned time. */
function connected(config: Parameters<typeof pair>[0] = {}): ReturnType<typeof pair> & { start: number } {
  const both = pair(config);
  both.a.send(both.atA, A_TO_B);
  both.world.advance(30);
  return { ...both, start: 20 };
}

/** Traffic both ways every `everyMs`, until a moment. */
function chat(both: ReturnType<typeof pair>, until: number, everyMs: number = 1000): void {
  while (both.world.now < until) {
    both.a.send(both.atA, A_TO_B);
    both.b.send(both.atB, B_TO_A);
    both.world.advance(Math.min(everyMs, until - both.world.now));
  }
}

const lengths = (world: World, host: Host, since: number): number[] =>
  world.log.filter(d => d.from === host.address && d.at >= since).map(d => d.bytes.length);

t.test("§6.2 REKEY_AFTER_TIME: the initiator renews at 120 s when it sends, not before", async t => {
  const both = connected();
  const { world, a, b } = both;
  chat(both, 119_900);
  t.equal(world.sent(a, INITIATION).length, 1);
  chat(both, 125_000);
  const again = world.sent(a, INITIATION);
  t.equal(again.length, 2);
  t.ok((again[1] as number) >= 120_000 && (again[1] as number) <= 121_100, `${again[1]}`);
  t.equal(world.sent(b, INITIATION).length, 0, "the responder does not");
  t.equal(world.sent(b, RESPONSE).length, 2);
  const lost = a.results.concat(b.results).filter(result => typeof result === "string");
  t.same(lost, [], "no packet is lost over the change of keys");
});

t.test("§6.2: an initiator that only receives renews at 165 s, once", async t => {
  const { world, a, b, atB } = connected();
  while (world.now < 164_900) {
    b.send(atB, B_TO_A);
    world.advance(100);
  }
  t.equal(world.sent(a, INITIATION).length, 2, "its keep-alives are sends: renewed at 120 s already");

  // Without its keep-alives, and with the other side kept from initiating, only receiving is left.
  const quiet = connected();
  quiet.world.filter = d => (d.from === quiet.b.address && d.bytes[0] === INITIATION ? [] : [d]);
  quiet.atA.sendKeepalive = () => {};
  while (quiet.world.now < 166_000) {
    quiet.b.send(quiet.atB, B_TO_A);
    quiet.world.advance(100);
  }
  const sent = quiet.world.sent(quiet.a, INITIATION);
  t.equal(sent.length, 2);
  t.ok((sent[1] as number) >= 165_000 && (sent[1] as number) < 165_300, `${sent[1]}`);
});

t.test("§6.2 REJECT_AFTER_TIME: at 180 s neither sends nor receives under the old keys", async t => {
  const { world, a, b, atA, atB, start } = connected();
  world.filter = d => (d.bytes[0] === INITIATION ? [] : [d]);
  world.advance(start + 179_900 - world.now);
  t.ok(a.send(atA, A_TO_B) > 0);
  world.advance(20);
  t.equal(b.results.at(-1), A_TO_B.length);
  const late = world.log.at(-1) as never;
  world.advance(start + 180_000 - world.now);
  t.equal(a.send(atA, A_TO_B), 0, "staged");
  t.equal(b.send(atB, B_TO_A), 0);
  b.receive(late);
  t.equal(b.results.at(-1), "expired");
});

t.test("§6.2 REKEY_AFTER_MESSAGES: either end renews once it has sent so many, not before", async t => {
  for (const end of ["a", "b"] as const) {
    const both = connected();
    const { world, a, b, atA, atB } = both;
    chat(both, 6_000);
    const since = world.now;
    const [host, peer, packet] = end === "a" ? ([a, atA, A_TO_B] as const) : ([b, atB, B_TO_A] as const);
    (peer.keypairs.current as { sendCounter: number }).sendCounter = REKEY_AFTER_MESSAGES - 1;
    host.send(peer, packet);
    world.advance(50);
    t.equal(world.sent(host, INITIATION, since).length, 0, `${end}: the last message before`);
    host.send(peer, packet);
    world.advance(50);
    t.equal(world.sent(host, INITIATION, since).length, 1, `${end}: the first message after`);
    t.equal(peer.keypairs.current?.sendCounter, 1, "the new session counts from 0, and was confirmed");
  }
});

t.test("§6.2 REJECT_AFTER_MESSAGES: neither sends nor receives from there on", async t => {
  const { world, a, b, atA } = connected();
  world.filter = d => (d.bytes[0] === INITIATION ? [] : [d]);
  const keypair = atA.keypairs.current as { sendCounter: number };
  keypair.sendCounter = REJECT_AFTER_MESSAGES - 1;
  t.ok(a.send(atA, A_TO_B) > 0, "the last one");
  world.advance(50);
  t.equal(b.results.at(-1), A_TO_B.length);
  t.equal(a.send(atA, A_TO_B), 0, "staged");
  const last = world.log.filter(d => d.type === 4).at(-1) as { from: string; to: string; bytes: Uint8Array };
  const beyond = last.bytes.slice();
  new DataView(beyond.buffer).setBigUint64(8, BigInt(REJECT_AFTER_MESSAGES), true);
  b.receive({ ...last, bytes: beyond });
  t.equal(b.results.at(-1), "expired");
});

t.test("§6.3 key rotation: two sessions still open late packets, a third wipes the first", async t => {
  const { world, a, b, atA, atB } = connected();
  const late: { from: string; to: string; bytes: Uint8Array }[] = [];
  const keep = (): void => {
    world.filter = () => [];
    a.send(atA, A_TO_B);
    world.filter = d => [d];
    late.push(world.log.at(-1) as never);
  };
  const renew = (): void => {
    world.advance(6_000);
    atA.allowInitiation();
    atA.initiate(world.now);
    world.advance(50);
  };
  keep();
  renew();
  keep();
  t.not(atB.keypairs.previous, null);
  b.receive(late[0] as never);
  t.equal(b.results.at(-1), A_TO_B.length, "under the previous session");
  renew();
  b.receive(late[1] as never);
  t.equal(b.results.at(-1), A_TO_B.length);
  b.receive(late[0] as never);
  t.equal(b.results.at(-1), "unknownIndex", "the one before is gone");
});

t.test("RFC 6479: the replay window goes on over a change of keys", async t => {
  const { world, a, b, atA, atB } = connected();
  world.filter = () => [];
  a.send(atA, A_TO_B);
  world.filter = d => [d];
  const late = world.log.at(-1) as never;
  world.advance(6_000);
  atA.allowInitiation();
  atA.initiate(world.now);
  world.advance(50);
  const keypair = atA.keypairs.current as { sendCounter: number };
  keypair.sendCounter = REPLAY_WINDOW;
  a.send(atA, A_TO_B);
  world.advance(50);
  t.not(atB.keypairs.previous, null, "a whole window may still be on its way");
  a.send(atA, A_TO_B);
  world.advance(50);
  t.equal(atB.keypairs.previous, null);
  b.receive(late);
  t.equal(b.results.at(-1), "unknownIndex");
});

t.test("§6.6: a cookie is kept for the retry after REKEY_TIMEOUT; nothing is sent at once", async t => {
  const { world, a, b, atA } = pair();
  const checker = new CookieChecker(b.crypto, b.random, b.publicKey);
  const source = new Uint8Array(18).fill(1);
  world.filter = () => [];
  atA.initiate(world.now);
  const first = world.log[0]?.bytes as Uint8Array;
  const reply = new Uint8Array(64);
  checker.writeReply(reply, first, source, world.now);
  world.advance(20);
  a.receive({ from: b.address, to: a.address, bytes: reply });
  t.equal(a.results.at(-1), 0);
  world.advance(4_900);
  t.equal(world.log.length, 1, "before REKEY_TIMEOUT nothing");
  world.advance(500);
  t.equal(world.log.length, 2);
  t.ok(checker.checkMac2(world.log[1]?.bytes as Uint8Array, source, world.now), "with the cookie's mac2");
});

t.test("§6.4 REKEY_TIMEOUT: retries each 5 s with up to 333 ms of jitter, and stops after 90 s", async t => {
  const { world, a, atA } = pair();
  world.filter = () => [];
  a.send(atA, A_TO_B);
  world.advance(300_000);
  const sent = world.sent(a, INITIATION);
  const gaps = sent.slice(1).map((at, i) => at - (sent[i] as number));
  t.ok(
    gaps.every(gap => gap >= 5000 && gap <= 5333),
    gaps.join(),
  );
  t.ok(new Set(gaps).size > 5, "the jitter varies");
  t.equal(sent.length, 19, "one and 90 s / 5 s retries");
  t.equal(a.device.counters.handshakesGivenUp, 1);
  world.filter = d => [d];
  world.advance(60_000);
  t.equal(world.log.length, 19, "silence until there is something to send");
  a.send(atA, A_TO_B);
  world.advance(100);
  t.equal(world.hosts[1]?.received.length, 1, "what was staged before it gave up is gone, this is sent");
});

t.test("§6.4: sending something restarts REKEY_ATTEMPT_TIME, but not faster than REKEY_TIMEOUT", async t => {
  const { world, a, atA } = pair();
  world.filter = () => [];
  while (world.now < 150_000) {
    a.send(atA, A_TO_B);
    world.advance(50);
  }
  const sent = world.sent(a, INITIATION);
  t.ok(sent.length >= 28 && sent.length <= 31, `${sent.length} in 150 s`);
  t.ok(sent.slice(1).every((at, i) => at - (sent[i] as number) >= 5000));
});

t.test(
  "§6.5 KEEPALIVE_TIMEOUT: an empty packet 10 s after data that was not answered, then no more",
  async t => {
    const { world, a, b, atA } = connected();
    world.advance(15_000);
    const since = world.now;
    a.send(atA, A_TO_B);
    world.advance(9_000);
    t.same(lengths(world, b, since), [], "not before 10 s");
    world.advance(1_100);
    t.same(lengths(world, b, since), [32]);
    world.advance(60_000);
    t.same(lengths(world, b, since), [32], "an empty packet is not answered by another");
    t.equal(world.sent(a, INITIATION, since).length, 0);
  },
);

t.test(
  "§6.5: data that keeps coming is kept alive each 10 s; anything sent back makes it needless",
  async t => {
    const { world, a, b, atA, atB } = connected();
    const since = world.now;
    for (let i = 0; i < 30; i++) {
      a.send(atA, A_TO_B);
      world.advance(1000);
    }
    const alone = lengths(world, b, since);
    t.same(alone, [32, 32, 32], "each 10 s");
    world.advance(500);
    const answered = world.now;
    for (let i = 0; i < 30; i++) {
      a.send(atA, A_TO_B);
      b.send(atB, B_TO_A);
      world.advance(1000);
    }
    t.notOk(lengths(world, b, answered).includes(32));
  },
);

t.test("§6.5: a new handshake 15 s after data was sent into silence", async t => {
  const { world, a, b, atA } = connected();
  world.advance(60_000);
  const since = world.now;
  world.filter = d => (d.from === b.address ? [] : [d]);
  a.send(atA, A_TO_B);
  world.advance(14_900);
  t.equal(world.sent(a, INITIATION, since).length, 0);
  world.advance(500);
  const sent = world.sent(a, INITIATION, since);
  t.equal(sent.length, 1);
  t.ok((sent[0] as number) - since >= 15_000 && (sent[0] as number) - since <= 15_333);
});

t.test("§6.5: a keep-alive of the other side prevents that handshake", async t => {
  const { world, a, atA } = connected();
  world.advance(60_000);
  const since = world.now;
  a.send(atA, A_TO_B);
  world.advance(50_000);
  t.equal(world.sent(a, INITIATION, since).length, 0);
});

t.test("§6.3: keys are wiped 540 s after the last session began", async t => {
  const { world, a, b, atA, atB } = connected();
  world.advance(539_000);
  t.not(atA.keypairs.current, null);
  const old = atB.keypairs.current;
  world.advance(2_000);
  t.equal(atA.keypairs.current, null);
  t.equal(atB.keypairs.current, null);
  t.throws(() => old?.sendKey.seal(4096, 16, 0), "the key itself is destroyed");
  t.equal(a.device.indexes.size + b.device.indexes.size, 0);
  t.equal(a.device.pollAt(), Number.POSITIVE_INFINITY, "nothing is left to wait for");
  a.send(atA, A_TO_B);
  world.advance(50);
  t.equal(b.received.length, 2, "the next packet starts anew");
});

t.test("§6.5 persistent keep-alive: each interval of silence, also the first handshake", async t => {
  const { world, a, b } = pair({ persistentKeepaliveSeconds: 25 });
  world.advance(100);
  t.same(lengths(world, a, 0), [148, 32], "at once, before there is any traffic");
  const since = world.now;
  world.advance(80_000);
  const own = world.log.filter(d => d.at > since && d.from === a.address).map(d => d.bytes.length);
  t.same(own, [32, 32, 32]);
  a.device.updatePeer(b.publicKey, { persistentKeepaliveSeconds: 0 }, world.now);
  b.device.updatePeer(a.publicKey, { persistentKeepaliveSeconds: 0 }, world.now);
  const off = world.now;
  world.advance(80_000);
  t.equal(world.log.filter(d => d.at > off).length, 0);
});

t.test("persistent keep-alive never gives up on a peer that is away", async t => {
  const { world, a, b } = pair({ persistentKeepaliveSeconds: 25 });
  world.filter = () => [];
  world.advance(600_000);
  t.ok(world.sent(a, INITIATION).length > 90);
  world.filter = d => [d];
  world.advance(26_000);
  t.ok(b.device.lookup(a.publicKey)?.lastHandshakeAt);
});

t.test("§5.1: initiations of one peer closer together than 20 ms are dropped", async t => {
  const { world, b, atA } = pair();
  world.delayMs = 1;
  atA.initiate(world.now);
  world.advance(5);
  atA.allowInitiation();
  atA.initiate(world.now);
  world.advance(5);
  t.equal(b.results.at(-1), "tooSoon");
  world.advance(20);
  atA.allowInitiation();
  atA.initiate(world.now);
  world.advance(5);
  t.equal(b.results.at(-1), 0);
});

t.test("§5.1: timestamps increase although the wall clock is set back", async t => {
  const { world, a, b, atA } = connected();
  a.wallOffsetMs = -3_600_000;
  world.advance(10_000);
  atA.initiate(world.now);
  world.advance(50);
  t.notOk(b.results.includes("replayed"));
  t.equal(world.sent(b, RESPONSE).length, 2);
});

t.test("pollAt: no scan, no timer per packet, never late", async t => {
  const both = connected();
  const { world, a, atA } = both;
  const before = atA.timers.wakeAt;
  for (let i = 0; i < 1000; i++) a.send(atA, A_TO_B);
  t.ok(atA.timers.wakeAt <= before, "a packet only ever brings the wake-up forward");
  chat(both, 400_000, 777);
  t.ok(a.device.pollAt() > world.now);
  t.ok(a.device.pollAt() <= atA.timers.nextAt);
});

t.test("the responder becomes initiator when only it has something to send", async t => {
  const { world, a, b, atB } = connected();
  world.advance(600_000);
  b.device.updatePeer(a.publicKey, { endpoint: endpoint(a) }, world.now);
  b.send(atB, B_TO_A);
  world.advance(50);
  t.equal(world.sent(b, INITIATION).length, 1);
  t.equal(a.received.length, 1);
});
