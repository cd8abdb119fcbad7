/** Whatever arrives: no throw, no growth, no harm to a session. And nothing of a key stays after the end. */
import t from "tap";
import { type CryptoSuite, toHex } from "../../src/base/index.js";
import { CookieKeeper } from "../../src/wireguard/cookie.js";
import { A_TO_B, B_TO_A, endpoint, type Host, ipv4, pair, SeededRandom } from "./world.js";

/** Time-boxed here; `CZCTL_FUZZ_SECONDS` for longer runs. */
const FUZZ_MS = Number(process.env.CZCTL_FUZZ_SECONDS ?? 2) * 1000;

t.setTimeout(FUZZ_MS + 60_000);

t.test(
  "mutated, truncated and random datagrams in a live session",
  { timeout: FUZZ_MS + 30_000 },
  async t => {
    const seed = Number(process.env.CZCTL_FUZZ_SEED ?? Date.now() % 1_000_000);
    const random = new SeededRandom(seed);
    const both = pair();
    const { world, a, b, atA, atB } = both;
    a.send(atA, A_TO_B);
    world.advance(50);
    b.send(atB, B_TO_A);
    world.advance(50);
    const corpus = world.log.map(d => d.bytes);
    const [macsForA, macsForB] = [a, b].map(
      ({ crypto, publicKey }) => new CookieKeeper(crypto, publicKey),
    ) as [CookieKeeper, CookieKeeper];
    const end = Date.now() + FUZZ_MS;
    let executions = 0;
    try {
      while (Date.now() < end) {
        for (let i = 0; i < 500; i++) {
          const bytes = mutate(corpus[random.uint32() % corpus.length] as Uint8Array, random);
          const target = random.uint32() % 2 === 0 ? a : b;
          // Whoever knows the public key can make mac1 right and get past it.
          if (isHandshake(bytes) && random.uint32() % 4 === 0) {
            (target === a ? macsForA : macsForB).addMacs(bytes, world.now);
          }
          target.receive({
            from: `198.51.100.${random.uint32() % 256}:${1 + (random.uint32() % 9)}`,
            to: "",
            bytes,
          });
          executions++;
        }
        world.advance(random.uint32() % 20);
        a.results.length = b.results.length = world.log.length = 0;
      }
    } catch (error) {
      t.fail(`seed ${seed}, execution ${executions}: ${(error as Error).stack}`);
    }
    t.comment(`seed ${seed}: ${executions} executions`);
    t.ok(a.device.indexes.size <= 6 && b.device.indexes.size <= 6, "no index is lost");
    world.advance(6000);
    a.received.length = b.received.length = 0;
    b.device.updatePeer(a.publicKey, { endpoint: endpoint(a) }, world.now);
    a.device.updatePeer(b.publicKey, { endpoint: endpoint(b) }, world.now);
    a.send(atA, A_TO_B);
    world.advance(100);
    b.send(atB, B_TO_A);
    world.advance(100);
    t.equal(b.received.length, 1, "the session still works");
    t.equal(a.received.length, 1);
  },
);

t.test("a packet that the peer's own user made: any inner bytes", async t => {
  const { world, a, b, atA } = pair();
  a.send(atA, A_TO_B);
  world.advance(50);
  const random = new SeededRandom(5);
  for (let i = 0; i < 3000; i++) {
    const packet = mutate(ipv4("10.0.0.1", "10.0.0.2", 20 + (random.uint32() % 100)), random);
    if (packet.length === 0) continue;
    if (a.send(atA, packet) > 0) world.advance(11);
    const result = b.results.at(-1);
    if (typeof result === "number" && result > ((packet.length + 15) & ~15))
      t.fail(`${toHex(packet)} gave ${result}`);
  }
  t.ok(b.received.every(({ bytes }) => toHex(bytes.subarray(12, 16)) === "0a000001"));
});

/** Everything secret that a host's crypto makes or is given from here on, as hexadecimal text. */
function overhear(host: Host): { fleeting: string[]; lasting: string[] } {
  const fleeting: string[] = [];
  const lasting = [toHex(host.device.privateKey)];
  const { crypto } = host;
  const suite = crypto as { -readonly [name in keyof CryptoSuite]: CryptoSuite[name] };
  const { createAeadKey, x25519, hmac } = crypto;
  suite.createAeadKey = key => {
    fleeting.push(toHex(key));
    return createAeadKey(key);
  };
  suite.x25519 = (privateKey, publicKey) => {
    const secret = x25519(privateKey, publicKey);
    const isStatic = host.device.lookup(publicKey) !== null && lasting.includes(toHex(privateKey));
    if (!lasting.includes(toHex(privateKey))) fleeting.push(toHex(privateKey));
    if (secret !== null) (isStatic ? lasting : fleeting).push(toHex(secret));
    return secret;
  };
  // Chaining keys, and the keys of the handshake's own fields.
  suite.hmac = (key, parts) => {
    const result = hmac(key, parts);
    fleeting.push(toHex(result));
    return result;
  };
  return { fleeting, lasting };
}

const PRESHARED = "ee".repeat(32);

t.test("after removal and close no key is left in the device, its peers or the arena", async t => {
  const { world, a, b, atA, atB } = pair({ presharedKey: new Uint8Array(32).fill(0xee) });
  const { fleeting, lasting } = overhear(a);
  a.send(atA, A_TO_B);
  world.advance(50);
  b.send(atB, B_TO_A);
  world.advance(150_000);
  a.send(atA, A_TO_B);
  world.advance(50);
  const secrets = [PRESHARED, ...fleeting, ...lasting];
  t.ok(reachable(a.device, secrets).size > 0, "the search finds what is alive");
  a.device.close();
  t.same([...reachable(a.device, secrets)], []);
  t.same([...reachable(atA, secrets)], []);
  const arena = toHex(a.arena.u8);
  t.notOk(secrets.some(secret => arena.includes(secret)));
});

t.test("paper §6.3: 540 s later no session, ephemeral or chaining key is left at either end", async t => {
  const { world, a, b, atA, atB } = pair({ presharedKey: new Uint8Array(32).fill(0xee) });
  const ends = [a, b].map(host => ({ host, ...overhear(host) }));
  a.send(atA, A_TO_B);
  world.advance(50);
  b.send(atB, B_TO_A);
  world.advance(130_000);
  a.send(atA, A_TO_B);
  world.advance(50);
  // And one that is never answered.
  world.filter = () => [];
  a.device.networkChanged(world.now);
  for (const { host, fleeting, lasting } of ends) {
    t.ok(fleeting.length > 30, `${fleeting.length} secrets of two handshakes`);
    t.ok(reachable(host.device, fleeting).size > 0, "the search finds what is alive");
    t.same([...reachable(host.device, lasting)].length, 2, "static keys, and what two of them make");
  }
  world.advance(2 * 540_000);
  for (const { host, fleeting, lasting } of ends) {
    t.same([...reachable(host.device, fleeting)], []);
    const arena = toHex(host.arena.u8);
    t.notOk(fleeting.some(secret => arena.includes(secret)));
    t.notOk(lasting.some(secret => arena.includes(secret)));
    t.same([...reachable(host.device, lasting)].length, 2);
  }
});

t.test("what a device tells holds no key: events, drops, counters, and what it throws", async t => {
  const { world, a, b, atA } = pair({ presharedKey: new Uint8Array(32).fill(0xee) });
  const { fleeting, lasting } = overhear(a);
  a.send(atA, A_TO_B);
  world.advance(200_000);
  const told: unknown[] = [a.events, a.results, a.device.counters];
  const attempts = [
    () => a.device.addPeer({ publicKey: b.publicKey }, 0),
    () => a.device.addPeer({ publicKey: a.publicKey }, 0),
    () => a.device.addPeer({ publicKey: a.device.privateKey.subarray(1) }, 0),
    () => a.device.setPrivateKey(a.device.privateKey.subarray(1)),
  ];
  for (const attempt of attempts) {
    try {
      attempt();
      t.fail("it was taken");
    } catch (error) {
      told.push(String(error), (error as Error).stack);
    }
  }
  const text = JSON.stringify(told).toLowerCase();
  for (const secret of [PRESHARED, ...fleeting, ...lasting]) {
    for (const form of [secret, Buffer.from(secret, "hex").toString("base64").toLowerCase()]) {
      if (text.includes(form)) t.fail(form);
    }
  }
  t.ok(fleeting.length > 10);
});

/** Byte arrays of at least 16 bytes that can be reached from an object and hold one of the secrets. */
function reachable(root: object, secrets: readonly string[]): Set<string> {
  const found = new Set<string>();
  const seen = new Set<object>();
  const queue: object[] = [root];
  for (let item = queue.pop(); item !== undefined; item = queue.pop()) {
    if (seen.has(item)) continue;
    seen.add(item);
    if (ArrayBuffer.isView(item)) {
      const bytes = toHex(new Uint8Array(item.buffer, item.byteOffset, Math.min(item.byteLength, 1 << 16)));
      for (const secret of secrets) if (bytes.includes(secret)) found.add(secret);
      continue;
    }
    const inner = item instanceof Map ? [...item.values()] : Object.values(item);
    for (const value of inner) if (typeof value === "object" && value !== null) queue.push(value);
  }
  return found;
}

function isHandshake(bytes: Uint8Array): boolean {
  return (bytes[0] === 1 && bytes.length === 148) || (bytes[0] === 2 && bytes.length === 92);
}

function mutate(source: Uint8Array, random: SeededRandom): Uint8Array {
  let bytes = source.slice();
  const kind = random.uint32() % 8;
  if (kind === 0) bytes = bytes.slice(0, random.uint32() % (bytes.length + 1));
  if (kind === 1) {
    bytes = new Uint8Array(random.uint32() % 300);
    random.fill(bytes);
    if (bytes.length > 4) bytes.set([random.uint32() % 6, 0, 0, 0]);
  }
  const changes = kind < 2 ? 0 : random.uint32() % 4;
  for (let i = 0; i < changes && bytes.length > 0; i++) {
    bytes[random.uint32() % bytes.length] = random.uint32() & 255;
  }
  return bytes;
}
