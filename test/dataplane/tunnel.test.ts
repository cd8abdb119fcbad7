import t from "tap";
import { Arena, ENDPOINT_BYTES, NEVER } from "../../src/base/index.js";
import type { Context } from "../../src/dataplane/context.js";
import type { PeerLink } from "../../src/dataplane/peer-link.js";
import { Tunnel } from "../../src/dataplane/tunnel.js";
import { EAGAIN, EPOLLIN, EPOLLOUT, type UdpSocket } from "../../src/linux/index.js";
import type { Stack } from "../../src/netstack/index.js";
import type { Device, Peer } from "../../src/wireguard/index.js";

interface Sent {
  bytes: number[];
  segmentBytes: number;
  endpoint: number;
}

/** Of packets alike. */
const HEADER_BYTES = 40;
const TEXT_BYTES = 1000;

/** A tunnel whose socket and device are the test's: sealing adds 32 bytes and marks the datagram. */
function setUp() {
  const arena = new Arena(1 << 20);
  const sent: Sent[] = [];
  const interest: number[] = [];
  const writable: PeerLink[] = [];
  /** Bytes that the socket takes before it is full; the next call is refused. */
  let room = Number.POSITIVE_INFINITY;
  let session = true;
  const socket = {
    fd: 7,
    segmentBytes: 0,
    receive: () => -EAGAIN,
    send: (offset: number, length: number, segmentBytes: number, endpoint: number) => {
      if (room === 0) return -EAGAIN;
      const taken = Math.min(length, Math.floor(room / segmentBytes) * segmentBytes);
      room -= taken;
      const bytes = [];
      for (let at = 0; at < taken; at += segmentBytes) bytes.push(arena.u8[offset + at] as number);
      sent.push({ bytes, segmentBytes, endpoint: arena.u8[endpoint + 4] as number });
      return taken;
    },
  };
  const loop = { now: 0, add: () => {}, modify: (_fd: number, events: number) => interest.push(events) };
  const tunnel = new Tunnel({ arena, loop } as unknown as Context, socket as unknown as UdpSocket);
  const peers: Peer[] = [];
  const unsealed: number[] = [];
  const device = {
    seal: (_peer: Peer, offset: number, length: number) => {
      if (session) unsealed.push(offset);
      return session ? length + 32 : 0;
    },
    sealAlike: (_peer: Peer, count: number, offset: number, stride: number) => {
      for (let i = 0; i < count; i++) unsealed.push(offset + i * stride);
      return count;
    },
    runSeals: () => {
      for (const offset of unsealed.splice(0)) arena.u8[offset - 16] = arena.u8[offset] as number;
    },
    poll: () => {},
    pollAt: () => NEVER,
    peers: () => peers,
  };
  const stack = { linkWritable: (link: PeerLink) => writable.push(link) };
  tunnel.join(device as unknown as Device, stack as unknown as Stack);
  const addPeer = (host: number): PeerLink => {
    const endpoint = new Uint8Array(ENDPOINT_BYTES);
    endpoint[0] = 4;
    endpoint[4] = host;
    const peer = { endpoint, context: null } as unknown as Peer;
    peers.push(peer);
    return tunnel.addPeer(peer, 1420);
  };
  /** One packet of `length` bytes that begins with `mark`; false when the link takes none. */
  const put = (link: PeerLink, mark: number, length: number): boolean => {
    const at = link.reserve(length);
    if (at === -1) return false;
    arena.u8[at] = mark;
    link.commit(length, 0, 40);
    return true;
  };
  const text = arena.reserve(128 * TEXT_BYTES);
  /** As many of `count` packets alike as the link takes at once, the first of which begins with `mark`. */
  const putAlike = (link: PeerLink, mark: number, count: number): number => {
    const at = link.reserve(HEADER_BYTES + TEXT_BYTES);
    if (at === -1) return 0;
    arena.u8[at] = mark;
    return link.commitGathered(HEADER_BYTES, text, TEXT_BYTES, count);
  };
  return {
    tunnel,
    sent,
    interest,
    writable,
    addPeer,
    put,
    putAlike,
    setRoom: (bytes: number) => {
      room = bytes;
    },
    setSession: (up: boolean) => {
      session = up;
    },
  };
}

t.test("equal datagrams leave in one call, a shorter one ends the run", async t => {
  const { tunnel, sent, addPeer, put } = setUp();
  const link = addPeer(1);
  for (let i = 0; i < 5; i++) put(link, i, 1000);
  t.equal(sent.length, 0, "the run is still open");
  put(link, 5, 500);
  t.same(sent, [{ bytes: [0, 1, 2, 3, 4, 5], segmentBytes: 1032, endpoint: 1 }]);
  put(link, 6, 500);
  put(link, 7, 1000);
  tunnel.flush(0);
  t.same(sent.slice(1), [
    { bytes: [6], segmentBytes: 532, endpoint: 1 },
    { bytes: [7], segmentBytes: 1032, endpoint: 1 },
  ]);
});

t.test("a run holds at most 64 datagrams and 65,507 bytes, and one peer", async t => {
  const { tunnel, sent, addPeer, put } = setUp();
  const [one, two] = [addPeer(1), addPeer(2)];
  for (let i = 0; i < 70; i++) put(one, i, 100);
  tunnel.flush(0);
  t.same(
    sent.map(run => run.bytes.length),
    [64, 6],
  );
  sent.length = 0;
  for (let i = 0; i < 100; i++) put(one, i, 1420);
  tunnel.flush(0);
  t.ok(sent.every(run => run.bytes.length * run.segmentBytes <= 65_507));
  t.same(
    sent.flatMap(run => run.bytes),
    Array.from({ length: 100 }, (_, i) => i),
  );
  sent.length = 0;
  put(one, 1, 100);
  put(two, 2, 100);
  put(one, 3, 100);
  tunnel.flush(0);
  t.same(
    sent.map(run => [run.endpoint, ...run.bytes]),
    [
      [1, 1],
      [2, 2],
      [1, 3],
    ],
  );
});

t.test("a full socket stops the links, keeps what was sealed, and goes on where it was", async t => {
  const { tunnel, sent, interest, writable, addPeer, put, setRoom } = setUp();
  const link = addPeer(1);
  setRoom(2 * 1032);
  for (let i = 0; i < 5; i++) put(link, i, 1000);
  tunnel.flush(0);
  t.same(
    sent.flatMap(run => run.bytes),
    [0, 1],
  );
  t.notOk(put(link, 9, 1000), "no more is taken");
  t.same(interest, [EPOLLIN | EPOLLOUT]);
  setRoom(Number.POSITIVE_INFINITY);
  tunnel.onReady(EPOLLOUT, 0);
  t.same(
    sent.flatMap(run => run.bytes),
    [0, 1, 2, 3, 4],
  );
  t.same(interest, [EPOLLIN | EPOLLOUT, EPOLLIN]);
  t.same(writable, [link]);
  t.ok(put(link, 5, 1000));
});

t.test("a packet without a session is the device's, and takes no place in the run", async t => {
  const { tunnel, sent, addPeer, put, setSession } = setUp();
  const link = addPeer(1);
  setSession(false);
  put(link, 1, 1000);
  setSession(true);
  put(link, 2, 1000);
  tunnel.flush(0);
  t.same(
    sent.flatMap(run => run.bytes),
    [2],
  );
});

t.test("packets alike fill the run that is open, and as many more begin another", async t => {
  const { tunnel, sent, addPeer, put, putAlike } = setUp();
  const link = addPeer(1);
  for (let i = 0; i < 3; i++) put(link, i, HEADER_BYTES + TEXT_BYTES);
  // 61 would do by number, but 65,507 bytes are 61 datagrams in all.
  t.equal(putAlike(link, 10, 100), 58);
  t.equal(sent.length, 0, "what fills it waits, as any datagram does");
  t.equal(putAlike(link, 70, 42), 42, "the first of them ended the run before");
  tunnel.flush(0);
  t.same(
    sent.map(({ bytes }) => bytes.length),
    [61, 42],
  );
  t.same(sent.flatMap(({ bytes }) => bytes).slice(0, 5), [0, 1, 2, 10, 10]);
});

t.test("packets alike after one that ends a run, of another peer, without a session, or blocked", async t => {
  const { tunnel, sent, addPeer, put, putAlike, setSession, setRoom } = setUp();
  const [one, two] = [addPeer(1), addPeer(2)];
  put(one, 1, 1400);
  t.equal(putAlike(one, 2, 5), 1, "shorter: it is the run's last");
  t.equal(sent.length, 1);
  put(one, 3, 900);
  t.equal(putAlike(one, 4, 5), 5, "longer: it begins another");
  t.equal(putAlike(two, 5, 5), 5, "and so does another peer");
  setSession(false);
  t.equal(putAlike(two, 6, 5), 1, "the device keeps it");
  setSession(true);
  tunnel.flush(0);
  t.same(
    sent.slice(1).map(({ endpoint, bytes }) => [endpoint, ...bytes]),
    [
      [1, 3],
      [1, 4, 4, 4, 4, 4],
      [2, 5, 5, 5, 5, 5],
    ],
  );
  setRoom(0);
  t.equal(putAlike(one, 7, 5), 5);
  t.equal(putAlike(two, 8, 5), 1, "the socket is full: it is lost as on any full queue");
  t.equal(putAlike(two, 9, 5), 0, "and no more is taken");
});
