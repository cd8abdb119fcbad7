/** Limits on what has not completed its handshake, and what a flood of SYNs leaves of the service (RFC 4987). */
import t from "tap";
import type { Link, TcpConnection } from "../../src/netstack/index.js";
import { RawPeer } from "./raw-peer.js";
import { Prng } from "./sim/prng.js";

const ports = (peer: RawPeer) =>
  peer.stack
    .connections()
    .map(c => c.localPort)
    .sort((a, b) => a - b);

function knock(peer: RawPeer, port: number): void {
  peer.stackPort = port;
  peer.send({ flags: "S" });
}

t.test("RFC 4987 §3.5: past the half-open limit the oldest unanswered SYN-ACK is given up", async t => {
  const peer = new RawPeer({ stack: { maxHalfOpen: 2 } });
  const ended: string[] = [];
  peer.onSyn = connection => {
    connection.user = {
      onTcpConnected: () => {},
      onTcpClosed: why => ended.push(`${connection.localPort} ${why}`),
    };
    connection.accept();
  };
  for (const port of [81, 82, 83]) knock(peer, port);
  t.same(ended, ["81 reset"]);
  t.equal(peer.stack.counters.tcpHalfOpenDropped, 1);
  t.same(ports(peer), [82, 83]);
});

t.test("RFC 4987 §3.5: past the limit of pending SYNs no new one is taken, and none is lost", async t => {
  const peer = new RawPeer({ stack: { maxPendingSyns: 2 } });
  const asked: TcpConnection[] = [];
  peer.onSyn = connection => asked.push(connection);
  for (const port of [81, 82, 83]) knock(peer, port);
  t.same(ports(peer), [81, 82], "the handler is still deciding about these");
  t.equal(peer.stack.counters.tcpPendingLimit, 1);
  asked[0]?.accept();
  knock(peer, 83);
  t.same(ports(peer), [81, 82, 83], "its client's next try finds a place");
  asked[1]?.refuse();
  knock(peer, 84);
  t.same(ports(peer), [81, 83, 84]);
});

t.test("RFC 4987 §3: a link that floods loses its own, past its share", async t => {
  const peer = new RawPeer({
    stack: { maxHalfOpen: 8, maxPendingSyns: 12, linkShare: 0.25, maxTcpConnections: 40 },
  });
  const other: Link = {
    mtu: 1500,
    maxGsoBytes: 0,
    checksum: "full",
    congested: true,
    reserve: bytes => peer.reserve(bytes),
    commit: (bytes, gsoSize, headerBytes) => peer.commit(bytes, gsoSize, headerBytes),
  };
  const ended: string[] = [];
  peer.onSyn = connection => {
    connection.user = {
      onTcpConnected: () => {},
      onTcpClosed: () =>
        ended.push(`${connection.link === other ? "other" : "flooder"} ${connection.localPort}`),
    };
    connection.accept();
  };
  const packet = peer.segment({ flags: "S" });
  peer.arena.u8.set(packet, 0);
  peer.stack.process(other, 0, packet.length, peer.now, true);
  for (const port of [81, 82, 83, 84]) knock(peer, port);
  t.same(ended, ["flooder 81", "flooder 82"], "two of eight are a link's share");
});

t.test("a link may have its share of all connections only", async t => {
  const peer = new RawPeer({ stack: { linkShare: 0.25, maxTcpConnections: 12 } });
  peer.onSyn = () => {};
  for (const port of [81, 82]) knock(peer, port);
  peer.stack.connect(peer, peer.stackAddress, peer.peerAddress, 80, peer.now);
  const full = () => peer.stack.connect(peer, peer.stackAddress, peer.peerAddress, 80, peer.now);
  t.throws(full, { code: "TOO_MANY_CONNECTIONS" }, "three are its share");
  knock(peer, 83);
  t.equal(peer.stack.counters.tcpConnectionLimit, 1);
});

/** Of SYN and SYN-ACK: what the stack says about itself. */
interface Answer {
  port: number;
  iss: number;
}

function synAcks(peer: RawPeer): Answer[] {
  const answers = peer.packets.flatMap(packet => {
    const view = new DataView(packet.buffer);
    return view.getUint8(33) === 0x12 ? [{ port: view.getUint16(20), iss: view.getInt32(24) }] : [];
  });
  peer.packets = [];
  peer.gsoSizes = [];
  return answers;
}

t.test("RFC 4987: genuine clients are served in the middle of a flood", async t => {
  // 25 SYNs a millisecond whose senders never answer; the far side takes 30 ms, a client 20 ms.
  const FLOOD_PER_MS = 25;
  const FAR_MS = 30;
  const CLIENT_MS = 20;
  const CLIENTS = 20;
  const peer = new RawPeer({ stack: { maxPendingSyns: 512, maxHalfOpen: 512 } });
  const deciding: { at: number; connection: TcpConnection }[] = [];
  const connected = new Map<number, number>();
  let mostAtOnce = 0;
  peer.onSyn = connection => {
    deciding.push({ at: peer.now + FAR_MS, connection });
    connection.user = {
      onTcpConnected: () => connected.set(connection.localPort, peer.now),
      onTcpClosed: () => {},
    };
  };
  const random = new Prng(1);
  const clients = Array.from({ length: CLIENTS }, (_, i) => ({
    port: 100 + i,
    start: peer.now + 100 + 37 * i,
  }));
  const tries = clients.flatMap(({ port, start }) =>
    [0, 1000, 3000, 7000].map(after => ({ port, at: start + after, place: random.uint32() % FLOOD_PER_MS })),
  );
  const acks: { at: number; answer: Answer }[] = [];
  const end = peer.now + 9000;
  for (let floodPort = 1000; peer.now < end; ) {
    for (let i = 0; i < FLOOD_PER_MS; i++, floodPort = floodPort === 60_000 ? 1000 : floodPort + 1) {
      const genuine = tries.filter(
        ({ port, at, place }) => at === peer.now && place === i && !connected.has(port),
      );
      for (const port of [...genuine.map(one => one.port), floodPort]) {
        peer.stackPort = port;
        peer.inject(peer.segment({ flags: "S" }));
      }
    }
    while (deciding[0] !== undefined && deciding[0].at <= peer.now) deciding.shift()?.connection.accept();
    mostAtOnce = Math.max(mostAtOnce, deciding.length);
    peer.dispatch();
    for (const answer of synAcks(peer))
      if (answer.port < 1000) acks.push({ at: peer.now + CLIENT_MS, answer });
    while (acks[0] !== undefined && acks[0].at <= peer.now) {
      const { answer } = acks.shift() as { answer: Answer };
      peer.stackPort = answer.port;
      peer.irs = answer.iss;
      peer.inject(peer.segment({ flags: ".", seq: 1, ack: 1 }));
    }
    peer.step(1);
  }
  t.equal(connected.size, CLIENTS, "every client got through");
  t.ok(mostAtOnce <= 512, `no more than 512 dials at once: ${mostAtOnce}`);
  t.ok(peer.stack.connections().length <= 512 + 512 + CLIENTS, "what the flood holds is bounded");
  const { tcpPendingLimit, tcpHalfOpenDropped } = peer.stack.counters;
  t.ok(tcpPendingLimit > 1000 && tcpHalfOpenDropped > 1000, "it was a flood");
});
