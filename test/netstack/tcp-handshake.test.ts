import t from "tap";
import { Ring } from "../../src/base/index.js";
import { describe, PEER, RawPeer, STACK, synOptions } from "./raw-peer.js";

const ALL = { sack: true, scale: 7, timestamps: true, mss: 1460 };

for (const family of [4, 6] as const) {
  t.test(`RFC 9293 §3.5: three-way handshake, passive, IPv${family}`, async t => {
    const peer = new RawPeer({ family });
    peer.send({ flags: "S", options: synOptions(ALL) });
    const reply = peer.only();
    t.equal(describe(reply), "S. 0:0 ack 1");
    t.equal(reply.mss, family === 4 ? 1460 : 1440, "RFC 9293 §3.7.1: MSS from the link's MTU");
    t.ok(reply.windowScale >= 6, "RFC 7323 §2: a window of 4 MiB can be told");
    t.ok(reply.sackPermitted, "RFC 2018 §2");
    t.equal(reply.timestamps?.[1], 1, "RFC 7323 §3.2: TSecr echoes the SYN's TSval");
    t.equal(reply.window, 65_535);
    t.notOk(peer.connected);
    peer.send({ flags: ".", seq: 1, ack: 1, timestamps: [2, reply.timestamps?.[0] as number] });
    t.ok(peer.connected);
    t.equal(peer.connection?.state, "ESTABLISHED");
    t.same(peer.lines(), [], "nothing to say");
  });
}

t.test("RFC 7323 §1.3: options that the SYN did not offer are not in the SYN-ACK", async t => {
  const peer = new RawPeer();
  peer.send({ flags: "S", options: [] });
  const reply = peer.only();
  t.equal(reply.windowScale, -1);
  t.notOk(reply.sackPermitted);
  t.equal(reply.timestamps, null);
  t.equal(reply.mss, 1460);
});

t.test("a pending SYN is silent, absorbs repeated SYNs, and is answered by accept", async t => {
  const peer = new RawPeer();
  let asked = 0;
  peer.onSyn = () => asked++;
  peer.send({ flags: "S", options: synOptions(ALL) });
  peer.step(1000);
  peer.send({ flags: "S", options: synOptions(ALL) });
  t.same(peer.lines(), []);
  t.equal(asked, 1);
  t.equal(peer.connection?.state, "LISTEN");
  peer.connection?.attach(peer.receiveRing, peer.sendRing);
  peer.connection?.accept();
  t.same(peer.lines(), [], "nothing leaves before dispatch");
  peer.dispatch();
  t.same(peer.lines(), ["S. 0:0 ack 1"]);
});

t.test("RFC 9293 §3.10.7.2: refuse answers a pending SYN with RST", async t => {
  const peer = new RawPeer();
  peer.onSyn = connection => connection.refuse();
  peer.send({ flags: "S" });
  const reply = peer.only();
  t.equal(reply.flags, "R.");
  t.equal(reply.ack, 1);
  t.equal(peer.closed, "refused");
  t.equal(peer.stack.connections().length, 0);
});

t.test("a pending SYN whose client sends RST is forgotten; a late accept does nothing", async t => {
  const peer = new RawPeer();
  peer.onSyn = () => {};
  peer.send({ flags: "S" });
  peer.send({ flags: "R", seq: 1 });
  t.equal(peer.closed, "reset");
  peer.connection?.attach(peer.receiveRing, peer.sendRing);
  t.ok(peer.receiveRing.aborted, "rings attached too late are aborted");
  peer.connection?.accept();
  peer.dispatch();
  t.same(peer.lines(), []);
});

t.test("a pending SYN about which nobody decides goes away", async t => {
  const peer = new RawPeer();
  peer.onSyn = () => {};
  peer.send({ flags: "S" });
  peer.step(141_000);
  t.equal(peer.closed, "timeout");
  t.equal(peer.stack.connections().length, 0);
});

t.test("RFC 6298 §5: the SYN-ACK is repeated with back-off and given up", async t => {
  const peer = new RawPeer();
  peer.send({ flags: "S" });
  const start = peer.now;
  const times: number[] = [];
  for (let i = 0; i < 700 && peer.closed === null; i++) {
    const sent = peer.sent();
    for (const segment of sent)
      times.push(Math.round((peer.now - start) / 1000), ...(segment.flags === "S." ? [] : [-1]));
    peer.step(100);
  }
  t.same(times, [0, 1, 3, 7, 15, 31]);
  t.equal(peer.closed, "timeout");
});

t.test("a repeated SYN in SYN-RECEIVED brings the SYN-ACK again", async t => {
  const peer = new RawPeer();
  peer.send({ flags: "S" });
  peer.send({ flags: "S" });
  t.same(peer.lines(), ["S. 0:0 ack 1", "S. 0:0 ack 1"]);
});

t.test("RFC 9293 §3.10.7.4, first step: SYN-RECEIVED answers what it cannot accept with an ACK", async t => {
  const peer = new RawPeer();
  peer.send({ flags: "S", options: synOptions(ALL) });
  t.same(peer.lines(), ["S. 0:0 ack 1"]);
  peer.send({ flags: ".", seq: 70_000, ack: 1 });
  t.same(peer.lines(), [". 1:1 ack 1"], "beyond the window");
  peer.send({ flags: "R", seq: 70_000 });
  t.same(peer.lines(), [], "a reset is not answered");
  peer.step(600);
  peer.send({ flags: "S", seq: 5 });
  t.same(peer.lines(), [". 1:1 ack 1"], "RFC 5961 §4: another SYN gets a challenge");
  peer.send({ flags: ".", seq: 1, ack: 1, timestamps: [1, 0] });
  t.ok(peer.connected);
});

t.test("RFC 9293 §3.10.7.4, fifth step: a wrong ACK in SYN-RECEIVED is answered with RST", async t => {
  const peer = new RawPeer();
  peer.send({ flags: "S" });
  peer.sent();
  peer.send({ flags: ".", seq: 1, ack: 77 });
  t.same(peer.lines(), ["R 77:77 ack 0"]);
  t.notOk(peer.connected);
});

t.test("RFC 9293 §3.10.7.4: data may come with the handshake's last ACK", async t => {
  const peer = new RawPeer();
  peer.send({ flags: "S" });
  peer.sent();
  peer.send({ flags: "P.", seq: 1, ack: 1, data: "hello" });
  t.ok(peer.connected);
  t.equal(peer.text(), "hello");
  t.same(peer.lines(), [". 1:1 ack 6"]);
});

// ---- active open ----

function connecting(): RawPeer {
  const peer = new RawPeer();
  const connection = peer.stack.connect(peer, STACK, PEER, 40_000, peer.now);
  connection.user = peer;
  connection.attach(peer.receiveRing, peer.sendRing);
  peer.connection = connection;
  peer.stackPort = connection.localPort;
  peer.dispatch();
  return peer;
}

t.test("RFC 7323 §3.2: where nothing can be replayed we offer no timestamps, and grant them", async t => {
  const peer = new RawPeer({ checksum: "redundant" });
  const connection = peer.stack.connect(peer, peer.stackAddress, peer.peerAddress, 80, peer.now);
  peer.stackPort = connection.localPort;
  connection.attach(peer.receiveRing, peer.sendRing);
  peer.dispatch();
  const syn = peer.only();
  t.equal(syn.timestamps, null);
  t.ok(syn.sackPermitted && syn.windowScale >= 0);
  const other = new RawPeer({ checksum: "redundant" });
  other.send({ flags: "S", options: synOptions(ALL) });
  t.not(other.only().timestamps, null, "RFC 7323 §3.2: who asks has them");
});

t.test("RFC 6191 §2: a port is not used again before all others have been", async t => {
  const peer = new RawPeer();
  const { stack, stackAddress, peerAddress } = peer;
  const ports = new Set<number>();
  for (let i = 0; i < 20_000; i++) {
    const connection = stack.connect(peer, stackAddress, peerAddress, 80, peer.now);
    ports.add(connection.localPort);
    connection.abort();
    peer.dispatch();
    peer.packets.length = 0;
  }
  t.equal(ports.size, 20_000, "more than the peer's TIME-WAIT holds");
});

t.test("RFC 9293 §3.5: three-way handshake, active", async t => {
  const peer = connecting();
  const syn = peer.only();
  t.equal(describe(syn), "SEW 0:0 ack 0", "RFC 3168 §6.1.1: it asks for ECN");
  t.ok(syn.sackPermitted && syn.windowScale >= 0 && syn.timestamps !== null && syn.mss === 1460);
  t.ok(peer.stackPort >= 1024, "RFC 6056 §3.2: any but the system ports");
  peer.step(30);
  peer.send({ flags: "S.", ack: 1, options: synOptions(ALL) });
  t.same(peer.lines(), [". 1:1 ack 1"]);
  t.ok(peer.connected);
  t.equal(Math.round(peer.connection?.srttMs as number), 30, "RFC 6298 §2.2: the handshake is a sample");
});

t.test("RFC 9293 §3.10.7.3: RST to a SYN is 'refused', if it acknowledges the SYN", async t => {
  const peer = connecting();
  peer.sent();
  peer.send({ flags: "R", seq: 0 });
  t.equal(peer.closed, null, "no ACK: blind");
  peer.send({ flags: "R.", seq: 0, ack: 9 });
  t.equal(peer.closed, null, "wrong ACK");
  peer.send({ flags: "R.", seq: 0, ack: 1 });
  t.equal(peer.closed, "refused");
  t.ok(peer.readerAborted && peer.writerAborted);
});

t.test("RFC 9293 §3.10.7.3: a SYN-ACK that acknowledges something else is answered with RST", async t => {
  const peer = connecting();
  peer.sent();
  peer.send({ flags: "S.", ack: 5 });
  t.same(peer.lines(), ["R 5:5 ack 0"]);
  t.equal(peer.closed, null);
});

t.test("RFC 9293 §3.8.3: SYNs at 0, 1, 3, 7, 15, 31, 63 s, given up at 127 s", async t => {
  const peer = connecting();
  const start = peer.now;
  const times: number[] = [];
  while (peer.closed === null && peer.now < start + 200_000) {
    for (const _ of peer.sent()) times.push(Math.round((peer.now - start) / 1000));
    peer.step(100);
  }
  t.same(times, [0, 1, 3, 7, 15, 31, 63]);
  t.equal(peer.closed, "timeout");
  t.equal(Math.round((peer.now - start) / 1000), 127);
});

t.test("RFC 9293 §3.5, figure 8: simultaneous open", async t => {
  const peer = connecting();
  peer.sent();
  peer.send({ flags: "S", options: synOptions(ALL) });
  t.same(peer.lines(), ["S. 0:0 ack 1"]);
  t.equal(peer.connection?.state, "SYN-RECEIVED");
  peer.send({ flags: "S.", seq: 0, ack: 1, options: synOptions(ALL) });
  t.ok(peer.connected);
  t.equal(peer.connection?.state, "ESTABLISHED");
});

t.test("RFC 6056: ports of our own connections differ and do not count up", async t => {
  const peer = new RawPeer();
  const ports = Array.from(
    { length: 50 },
    () => peer.stack.connect(peer, STACK, PEER, 80, peer.now).localPort,
  );
  t.equal(new Set(ports).size, 50);
  const steps = ports.slice(1).filter((port, i) => port === (ports[i] as number) + 1);
  t.ok(steps.length < 5);
});

t.test("RFC 6528: ISNs differ between connections and grow with time for one", async t => {
  const isnAt = (now: number) => {
    const peer = new RawPeer();
    peer.now = now;
    peer.send({ flags: "S" });
    peer.sent();
    return peer.irs;
  };
  t.equal((isnAt(20_000) - isnAt(10_000)) | 0, 2_500_000, "one tick per 4 µs");
});

t.test("the link refuses: the SYN-ACK waits for linkWritable", async t => {
  const peer = new RawPeer();
  peer.blocked = true;
  peer.send({ flags: "S" });
  t.same(peer.lines(), []);
  peer.blocked = false;
  peer.dispatch();
  t.same(peer.lines(), [], "not before linkWritable");
  peer.stack.linkWritable(peer);
  peer.dispatch();
  t.same(peer.lines(), ["S. 0:0 ack 1"]);
});

t.test("closeLink ends everything on the link, silently", async t => {
  const peer = new RawPeer();
  peer.establish();
  peer.stack.closeLink(peer);
  peer.dispatch();
  t.equal(peer.closed, "reset");
  t.ok(peer.readerAborted && peer.writerAborted);
  t.same(peer.lines(), []);
  t.equal(peer.stack.connections().length, 0);
  peer.step(600_000);
  t.equal(peer.stack.pollAt(), Number.POSITIVE_INFINITY);
});

t.test("connect may have rings attached before the SYN leaves; its window is the ring's", async t => {
  const peer = new RawPeer();
  const connection = peer.stack.connect(peer, STACK, PEER, 80, peer.now);
  const small = new Ring(peer.arena, peer.pool, 5000);
  connection.attach(small, peer.sendRing);
  peer.dispatch();
  t.equal(peer.only().window, 5000);
});
