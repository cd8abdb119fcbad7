import { createSocket, type RemoteInfo } from "node:dgram";
import { once } from "node:events";
import { decode } from "dns-packet";
import t, { type Test } from "tap";
import { DnsResponder } from "../../src/dns/index.js";
import type { UdpFlow } from "../../src/netstack/index.js";
import { edns, query } from "../dns/packets.js";
import { makeZone } from "../dns/world.js";
import { APPLICATION, DNS, World } from "./world.js";

const NAME = "frontend.shop.svc.cluster.local";

const withId = (question: Buffer, id: number): Buffer => {
  const copy = Buffer.from(question);
  copy.writeUInt16BE(id, 0);
  return copy;
};

/** A program with a socket of its own. */
class Asker {
  readonly heard: (Buffer | string)[] = [];
  readonly ask: (question: Buffer) => void;

  constructor({ application, applicationLink, context }: World) {
    const { arena, scratchDatagram, loop } = context;
    const flow = application.openUdp(applicationLink, APPLICATION, DNS, 53, loop.now);
    flow.receiver = {
      onUdpData: (offset, length) => this.heard.push(Buffer.from(arena.u8.slice(offset, offset + length))),
      onUdpUnreachable: why => this.heard.push(why),
      onUdpClosed: () => {},
    };
    this.ask = question => {
      arena.u8.set(question, scratchDatagram);
      flow.send(scratchDatagram, question.length, loop.now);
    };
  }
}

async function answerTo(world: World, asker: Asker, question: Buffer): Promise<Buffer> {
  const before = asker.heard.length;
  asker.ask(question);
  await world.until("an answer", () => asker.heard.length > before);
  return asker.heard[before] as Buffer;
}

async function withResponder(t: Test) {
  const responder = new DnsResponder();
  const { udpPort, tcpPort } = await responder.start({ address: "127.0.0.1", port: 0 });
  t.teardown(() => responder.close());
  responder.setZone(makeZone());
  return { responder, world: new World({ dnsPorts: { udp: udpPort, tcp: tcpPort } }) };
}

t.test("what was answered before is answered without the responder, and leaves no flow", async t => {
  const { responder, world } = await withResponder(t);
  const { dns } = world.laptop;
  const first = await answerTo(world, new Asker(world), query(NAME));
  t.match(decode(first), { id: 0x1234, rcode: "NOERROR", answers: [{ name: NAME, data: "198.18.0.7" }] });
  t.match(dns.counters, { asked: 1, repeated: 0 });
  t.same(world.laptop.counts(), { tcp: 0, udp: 1 });
  t.match(world.laptop.flows(0), [{ protocol: "udp", name: "dns", destination: "198.18.0.2:53" }]);

  await responder.close();
  const again = await answerTo(world, new Asker(world), withId(query(NAME), 77));
  t.strictSame(again, withId(first, 77));
  t.match(dns.counters, { asked: 1, repeated: 1 });
  t.same(world.laptop.counts(), { tcp: 0, udp: 1 }, "another socket, and no other flow");
});

t.test("RFC 1035 §4.1.1: sockets that choose the same id get each their own answer", async t => {
  const { world } = await withResponder(t);
  const names = [NAME, "dual.shop", "missing.cluster.local", "frontend", "www.example.com"];
  const askers = names.map(() => new Asker(world));
  for (const [i, asker] of askers.entries()) asker.ask(query(names[i]!));
  await world.until("five answers", () => askers.every(asker => asker.heard.length === 1));
  for (const [i, asker] of askers.entries()) {
    t.match(decode(asker.heard[0] as Buffer), { id: 0x1234, questions: [{ name: names[i] }] });
  }
  const [busy] = askers as [Asker];
  for (let id = 0; id < 40; id++) busy.ask(withId(query(names[id % 5]!, edns(1232)), id));
  await world.until("forty more on one socket", () => busy.heard.length === 41);
  const ids = busy.heard.slice(1).map(each => (each as Buffer).readUInt16BE(0));
  t.same(
    ids.sort((a, b) => a - b),
    Array.from({ length: 40 }, (_, i) => i),
  );
});

t.test("RFC 4343: whoever mixes letter case gets his own back", async t => {
  const { world } = await withResponder(t);
  const asker = new Asker(world);
  for (const name of [NAME, "FrontEnd.shop.svc.cluster.local", "fRONTeND.shop.svc.cluster.local"]) {
    for (const what of ["once", "again"]) {
      const { questions, answers } = decode(await answerTo(world, asker, query(name)));
      t.match({ questions, answers }, { questions: [{ name }], answers: [{ name }] }, `${name} ${what}`);
    }
  }
  t.match(world.laptop.dns.counters, { asked: 1, repeated: 5 });
});

t.test("a change of names shows in the very next answer", async t => {
  const { responder, world } = await withResponder(t);
  const asker = new Asker(world);
  const serial = async (): Promise<number | undefined> => {
    const { authorities } = decode(await answerTo(world, asker, query("missing.cluster.local")));
    return (authorities as unknown as { data: { serial: number } }[])[0]?.data.serial;
  };
  t.same([await serial(), await serial()], [42, 42]);
  for (const next of [43, 44, 45]) {
    world.laptop.setDns([DNS]);
    responder.setZone(makeZone({ serial: next }));
    t.same([await serial(), await serial(), await serial()], [next, next, next]);
  }
  t.match(world.laptop.dns.counters, { asked: 4, repeated: 7 });
});

t.test("an answer on its way during a change is delivered and not repeated", async t => {
  const server = createSocket("udp4").bind(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => server.close());
  const world = new World({ dnsPorts: { udp: server.address().port, tcp: 0 } });
  const asked: [question: Buffer, from: RemoteInfo][] = [];
  server.on("message", (question, from) => asked.push([question, from]));
  const reply = (change: (answer: Buffer) => void = () => {}): void => {
    const [question, from] = asked.shift()!;
    const answer = Buffer.from(question);
    answer.writeUInt16BE(0x8400, 2);
    change(answer);
    server.send(answer, from.port, from.address);
  };
  const asker = new Asker(world);
  const asking = async (): Promise<void> => {
    asker.ask(query(NAME));
    await world.until("the responder is asked", () => asked.length === 1);
  };
  await asking();
  world.laptop.setDns([DNS]);
  reply();
  await world.until("the old answer", () => asker.heard.length === 1);
  await asking();
  reply();
  await world.until("the new answer", () => asker.heard.length === 2);
  asker.ask(query(NAME));
  await world.until("the new answer again", () => asker.heard.length === 3);
  t.equal(asked.length, 0, "which was kept");

  world.laptop.setDns([DNS]);
  await asking();
  reply(answer => answer.writeUInt16BE(answer.readUInt16BE(0) + 1, 0));
  asked.length = 0;
  await asking();
  reply();
  await world.until("an answer", () => asker.heard.length === 4);
  t.equal(
    (asker.heard[3] as Buffer).readUInt16BE(0),
    0x1234,
    "and the one that nobody asked for went nowhere",
  );
});

t.test("RFC 768: a question that no datagram of IPv4 carries is lost, and nobody else's", async t => {
  const { world } = await withResponder(t);
  const { dns } = world.laptop;
  const { context } = world;
  const askers = ["frontend", "dual.shop"].map(name => {
    const asker = new Asker(world);
    asker.ask(query(name));
    return asker;
  });
  // The responder is in this process: it answers when this test waits, and not before.
  while (dns.counters.asked < 2) context.loop.turn(1);
  const refused: string[] = [];
  const flow = { refuse: (why: string) => refused.push(why) } as unknown as UdpFlow;
  dns.ask(flow, context.scratchDatagram, 65_508);
  t.match(dns.counters, { asked: 3, unsent: 1 });
  await world.until("the others' answers", () => askers.every(({ heard }) => heard.length > 0));
  for (const { heard } of askers) t.match(decode(heard[0] as Buffer), { rcode: "NOERROR" });
  t.same(refused, []);
});

t.test("junk is survived; a responder that is gone is said", async t => {
  const { responder, world } = await withResponder(t);
  const asker = new Asker(world);
  for (const length of [0, 1, 11]) asker.ask(Buffer.alloc(length));
  asker.ask(Buffer.alloc(600, 0xff));
  t.match(decode(await answerTo(world, asker, query(NAME))), { rcode: "NOERROR" });
  t.match(decode(await answerTo(world, asker, Buffer.concat([query(NAME), Buffer.alloc(400)]))), {
    rcode: "NOERROR",
  });
  await responder.close();
  const other = new Asker(world);
  await world.until("port unreachable", () => {
    if (other.heard.length === 0) other.ask(query("frontend"));
    return other.heard.length > 0;
  });
  t.equal(other.heard[0], "port");
});
