/** Under load (paper §5.3): cookies, the limits per source and in all, and what a flood may cost. */
import t from "tap";
import { Arena, parseEndpoint, writeEndpoint } from "../../src/base/index.js";
import { createPlainCrypto } from "../../src/crypto/index.js";
import { COOKIE_SECRET_MAX_AGE_MS } from "../../src/wireguard/constants.js";
import { CookieChecker, CookieKeeper } from "../../src/wireguard/cookie.js";
import { SourceLimiter, TokenBucket } from "../../src/wireguard/ratelimiter.js";
import { A_TO_B, endpoint, type Host, pair, SeededRandom, type World } from "./world.js";

const COOKIE = 3;

/** Initiations of keys that b does not know, from other addresses: true mac1, no mac2. */
function flood(world: World, target: Host, messages: number): (string | number)[] {
  const attacker =
    world.hosts.find(host => host.address === "198.51.100.1:9") ?? world.host("198.51.100.1:9");
  const from = target.results.length;
  const peer =
    attacker.device.lookup(target.publicKey) ?? attacker.peer(target, { endpoint: endpoint(target) });
  peer.allowInitiation();
  const logged = world.log.length;
  const { filter } = world;
  world.filter = () => [];
  peer.initiate(world.now);
  world.filter = filter;
  const initiation = world.log[logged];
  if (initiation === undefined) throw new Error("no initiation");
  for (let i = 0; i < messages; i++) {
    target.receive({ ...initiation, from: `198.51.100.${1 + (i % 200)}:${1024 + i}` });
  }
  return target.results.slice(from);
}

t.test("a flood is answered with cookies, and a true peer gets through with its cookie", async t => {
  const { world, a, b, atA } = pair();
  const results = flood(world, b, 1000);
  t.equal(results.filter(result => result === "unknownPeer").length, 128, "the burst is worked on");
  t.equal(results.filter(result => result === "cookieSent").length, 128, "then as many get a cookie");
  t.equal(results.filter(result => result === "rateLimited").length, 1000 - 256);
  world.advance(100);
  a.send(atA, A_TO_B);
  const keepUp = world.now;
  while (world.now < keepUp + 5500) {
    flood(world, b, 60);
    world.advance(100);
  }
  t.equal(world.log.filter(d => d.type === COOKIE && d.to === a.address).length, 1, "a got a cookie");
  t.equal(b.received.length, 1, "its retry carries mac2 and is answered although the flood goes on");
  world.advance(1100);
  const after = flood(world, b, 1);
  t.same(after, ["unknownPeer"], "load ends a second after the last overflow");
});

t.test(
  "50,000 initiations in a second: data passes, nothing stays, a newcomer gets in by a cookie",
  async t => {
    const { world, a, b, atA } = pair();
    a.send(atA, A_TO_B);
    world.advance(50);
    const newcomer = world.host("203.0.113.7:51820");
    const atNewcomer = newcomer.peer(b, { endpoint: endpoint(b) });
    b.peer(newcomer);
    const before = b.received.length;
    const indexes = b.device.indexes.size;
    let sent = 0;
    for (let ms = 0; ms < 7000; ms += 20) {
      flood(world, b, ms < 1000 ? 1000 : 100);
      a.send(atA, A_TO_B);
      sent++;
      if (ms === 980) atNewcomer.initiate(world.now);
      world.advance(20);
    }
    t.equal(b.received.length - before, sent, "every data packet came through");
    t.equal(world.log.filter(d => d.type === COOKIE && d.to === newcomer.address).length, 1);
    t.equal(newcomer.device.counters.handshakes, 1, "its retry with the cookie's mac2 was answered");
    t.equal(b.device.indexes.size, indexes + 1, "the flood left nothing behind");
  },
);

t.test("under load one source gets 5 cookies at once, so another gets its own", async t => {
  const { world, a, b, atA } = pair();
  flood(world, b, 128);
  const attacker = world.hosts.find(host => host.address === "198.51.100.1:9") as Host;
  const cookies = (to: string): number =>
    world.log.filter(d => d.type === COOKIE && d.to.startsWith(to)).length;
  for (let i = 0; i < 500; i++) {
    attacker.device.networkChanged(world.now);
    attacker.device.lookup(b.publicKey)?.allowInitiation();
    attacker.device.lookup(b.publicKey)?.initiate(world.now);
  }
  a.send(atA, A_TO_B);
  world.advance(50);
  t.equal(cookies("198.51.100.1:9"), 5);
  t.equal(cookies(a.address), 1);
});

t.test("under load even proven sources get 5 handshakes at once, and 128 of them in all", async t => {
  const { world, b } = pair();
  const proven = Array.from({ length: 40 }, (_, i) => world.host(`203.0.113.${i + 1}:51820`));
  for (const host of proven) host.peer(b, { endpoint: endpoint(b) });
  flood(world, b, 200);
  for (const host of proven) host.device.lookup(b.publicKey)?.initiate(world.now);
  flood(world, b, 10);
  world.advance(400);
  t.equal(world.log.filter(d => d.type === COOKIE && d.to.startsWith("203.0.113.")).length, 40);
  flood(world, b, 200);
  b.results.length = 0;
  for (const host of proven) {
    const peer = host.device.lookup(b.publicKey);
    for (let i = 0; i < 10; i++) {
      peer?.allowInitiation();
      peer?.initiate(world.now);
    }
  }
  world.advance(50);
  const worked = b.results.filter(result => result === "unknownPeer").length;
  t.ok(worked >= 128 && worked < 135, `${worked} worked on`);
  t.equal(b.results.filter(result => result === "rateLimited").length, 400 - worked);
  b.results.length = 0;
  const first = proven[39]?.device.lookup(b.publicKey);
  world.advance(300);
  flood(world, b, 200);
  b.results.length = 0;
  for (let i = 0; i < 10; i++) {
    first?.allowInitiation();
    first?.initiate(world.now);
  }
  world.advance(50);
  t.same(b.results, [...new Array(5).fill("unknownPeer"), ...new Array(5).fill("rateLimited")]);
});

t.test("a cookie belongs to one address and port, one message, and 120 s", async t => {
  const arena = new Arena(1 << 16);
  const crypto = createPlainCrypto(arena);
  const random = new SeededRandom(5);
  const publicKey = new Uint8Array(32).fill(3);
  const checker = new CookieChecker(crypto, random, publicKey);
  const keeper = new CookieKeeper(crypto, publicKey);
  const source = new Uint8Array(18).fill(1);
  const message = new Uint8Array(148).fill(2);
  keeper.addMacs(message, 0);
  t.ok(checker.checkMac1(message));
  t.notOk(checker.checkMac2(message, source, 0), "no cookie yet");
  const reply = new Uint8Array(64);
  checker.writeReply(reply, message, source, 0);
  const forged = reply.slice();
  forged[40] = (forged[40] as number) ^ 1;
  t.notOk(keeper.consumeReply(forged, 0));
  t.ok(keeper.consumeReply(reply, 0));
  t.notOk(keeper.consumeReply(reply, 0), "a reply is taken once");
  keeper.addMacs(message, 0);
  t.ok(checker.checkMac2(message, source, 0));
  const elsewhere = source.slice();
  elsewhere[0] = 9;
  t.notOk(checker.checkMac2(message, elsewhere, 0), "another port");
  t.ok(checker.checkMac2(message, source, COOKIE_SECRET_MAX_AGE_MS - 1));
  t.notOk(checker.checkMac2(message, source, COOKIE_SECRET_MAX_AGE_MS), "the secret is too old");
  message[20] = 77;
  t.notOk(checker.checkMac1(message));
  t.notOk(checker.checkMac2(message, source, 0));
  keeper.addMacs(message, COOKIE_SECRET_MAX_AGE_MS);
  t.ok(
    message.subarray(132).every(byte => byte === 0),
    "the cookie is too old to be used",
  );
});

t.test("per source: 5 at once and 20 a second; /32 for IPv4 and /64 for IPv6", async t => {
  const arena = new Arena(1 << 16);
  const limiter = new SourceLimiter(arena, new SeededRandom(1));
  const allow = (text: string, now: number): boolean => {
    writeEndpoint(arena.u8, 64, parseEndpoint(text) as never);
    return limiter.allow(64, now);
  };
  const count = (text: string, now: number, tries: number): number =>
    Array.from({ length: tries }, () => allow(text, now)).filter(Boolean).length;
  t.equal(count("192.0.2.1:1", 0, 50), 5);
  t.equal(count("192.0.2.1:2", 0, 50), 0, "ports do not matter");
  t.equal(count("192.0.2.2:1", 0, 50), 5);
  t.equal(count("192.0.2.1:1", 100, 50), 2);
  t.equal(count("192.0.2.1:1", 10_000, 50), 5);
  t.equal(count("[2001:db8::1]:1", 0, 50), 5);
  t.equal(count("[2001:db8::ffff:1]:1", 0, 50), 0, "the same /64");
  t.equal(count("[2001:db8:0:1::1]:1", 0, 50), 5);
  let passed = 0;
  for (let now = 20_000; now < 30_000; now += 10) if (allow("192.0.2.9:1", now)) passed++;
  t.ok(passed >= 200 && passed <= 206, `${passed} in 10 s`);
});

t.test("the table of sources is bounded: a flood of sources refuses, and recovers", async t => {
  const arena = new Arena(1 << 16);
  const limiter = new SourceLimiter(arena, new SeededRandom(1));
  let allowed = 0;
  for (let i = 0; i < 100_000; i++) {
    writeEndpoint(arena.u8, 64, parseEndpoint(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}:1`) as never);
    if (limiter.allow(64, 0)) allowed++;
  }
  t.ok(allowed > 6000 && allowed <= 8192, `${allowed} sources at once`);
  writeEndpoint(arena.u8, 64, parseEndpoint("172.16.0.1:1") as never);
  t.ok(limiter.allow(64, 1000));
});

t.test("token bucket", async t => {
  const bucket = new TokenBucket(100, 10);
  const take = (now: number): number =>
    Array.from({ length: 50 }, () => bucket.take(now)).filter(Boolean).length;
  t.equal(take(0), 10);
  t.equal(take(0), 0);
  t.equal(take(55), 5);
  t.equal(take(60), 1);
  t.equal(take(100_000), 10);
});
