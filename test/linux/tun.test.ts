import { execFileSync } from "node:child_process";
import t, { type Test } from "tap";
import { Address, Arena, Prefix, parseEndpoint, writeEndpoint } from "../../src/base/index.js";
import {
  addAddress,
  addRoute,
  EAGAIN,
  EIO,
  EPOLLIN,
  listLinks,
  openTun,
  Poller,
  setLink,
  sockets,
  TunIo,
  UdpSocket,
  VIRTIO_NET_HDR_BYTES,
  virtioNet,
} from "../../src/linux/index.js";
import { enterNamespace, tunUnavailable } from "./in-namespace.js";
import { ACK, foldedSum, readSegment, type Segment, SYN, writeSegment } from "./tun-peer.js";

const HOST = "198.18.0.1";
const PEER = "198.18.0.2";
const MTU = 1400;

if (enterNamespace(t, import.meta.url, ["-m"])) {
  const skip = tunUnavailable();

  /** A device that is up with the service range routed into it, an arena and a packet buffer. */
  const setUp = (t: Test, tso = true) => {
    const device = openTun({ name: "czctl%d", tso });
    t.teardown(() => sockets.close(device.fd));
    setLink(device.name, { up: true, mtu: MTU, linkLocal: false });
    addAddress(device.name, Address.from(HOST), 32);
    addRoute(Prefix.from("198.18.0.0/16"), device.name);
    const arena = new Arena(1 << 21);
    return { ...device, arena, io: new TunIo(arena, device.fd), at: arena.reserve(65_600) + 6 };
  };

  t.test("names: given, numbered, taken, impossible", { skip }, async t => {
    const first = openTun({ name: "czctl%d", tso: true });
    const second = openTun({ name: "czctl%d", tso: true });
    t.match(
      [first, second],
      [
        { name: "czctl0", tso: true },
        { name: "czctl1", tso: true },
      ],
    );
    t.throws(() => openTun({ name: "czctl1", tso: true }), {
      code: "DEVICE_BUSY",
      category: "environment",
      message: /create the network device czctl1/,
    });
    for (const name of ["", "a/b", "a b", "sixteen-bytes-xx"]) {
      t.throws(() => openTun({ name, tso: true }), RangeError, JSON.stringify(name));
    }
    sockets.close(first.fd);
    sockets.close(second.fd);
    t.notOk(
      listLinks().some(link => link.kind === "tun"),
      "a device goes with its descriptor",
    );
  });

  t.test("a /dev/net/tun that is something else is said to be", { skip }, async t => {
    execFileSync("mount", ["--bind", "/dev/null", "/dev/net/tun"]);
    t.teardown(() => execFileSync("umount", ["/dev/net/tun"]));
    t.throws(() => openTun({ name: "czctl%d", tso: true }), {
      code: "TUN_UNAVAILABLE",
      category: "environment",
      message: "cannot use /dev/net/tun: it is there, but it is not the TUN driver's device (ENOTTY)",
      hint: /mknod/,
    });
  });

  t.test("nothing to read is EAGAIN; a device that is down takes nothing", { skip }, async t => {
    const { fd } = openTun({ name: "czctl%d", tso: true });
    const arena = new Arena(4096);
    const io = new TunIo(arena, fd);
    t.equal(io.read(0, 2048), -EAGAIN);
    arena.u8[VIRTIO_NET_HDR_BYTES] = 0x45;
    t.equal(io.write(0, 100), -EIO);
    t.throws(() => io.read(4000, 97), RangeError);
    t.throws(() => io.write(-1, 20), RangeError);
    sockets.close(fd);
  });

  t.test("the kernel answers a ping that comes in by the device (RFC 792)", { skip }, async t => {
    const { arena, io, at } = setUp(t);
    const ip = at + VIRTIO_NET_HDR_BYTES;
    const { u8, view } = arena;
    virtioNet.writePlain(arena, at);
    u8.fill(0, ip, ip + 84);
    u8.set([0x45, 0, 0, 84, 0, 0, 0, 0, 64, 1], ip);
    Address.from(PEER).write(u8, ip + 12);
    Address.from(HOST).write(u8, ip + 16);
    view.setUint16(ip + 10, ~foldedSum(arena, ip, 20, 0));
    u8.set([8, 0, 0, 0, 0x12, 0x34, 0, 7], ip + 20);
    u8.fill(0x5a, ip + 28, ip + 84);
    view.setUint16(ip + 22, ~foldedSum(arena, ip + 20, 64, 0));
    t.equal(io.write(at, VIRTIO_NET_HDR_BYTES + 84), VIRTIO_NET_HDR_BYTES + 84);

    t.equal(io.read(at, 65_600), VIRTIO_NET_HDR_BYTES + 84);
    t.equal(virtioNet.gsoType(arena, at), 0);
    t.equal(`${Address.read(u8, ip + 16, 4)}`, PEER);
    t.same([...u8.slice(ip + 20, ip + 22)], [0, 0], "echo reply");
    t.same([...u8.slice(ip + 24, ip + 28)], [0x12, 0x34, 0, 7]);
    t.equal(foldedSum(arena, ip + 20, 64, 0), 0xffff);
  });

  t.test("a datagram of the kernel comes out whole, its checksum partial", { skip }, async t => {
    const { arena, io, at, fd } = setUp(t);
    const poller = new Poller(arena);
    poller.add(fd, EPOLLIN);
    t.equal(poller.wait(0), 0);
    const socket = UdpSocket.bind(arena, { port: 0 });
    t.teardown(() => socket.close());
    const record = arena.reserve(20);
    const payload = arena.reserve(64);
    arena.u8.fill(0x77, payload, payload + 50);
    writeEndpoint(arena.u8, record, parseEndpoint(`${PEER}:53`)!);
    t.equal(socket.send(payload, 50, 50, record), 50);
    t.equal(poller.wait(1000), 1);
    t.equal(poller.fdAt(0), fd);
    t.equal(io.read(at, 65_600), VIRTIO_NET_HDR_BYTES + 78);
    t.equal(virtioNet.checksumTrusted(arena, at), true);
    t.equal(virtioNet.csumStart(arena, at), 20);
    t.equal(virtioNet.csumOffset(arena, at), 6);
    const ip = at + VIRTIO_NET_HDR_BYTES;
    t.equal(arena.view.getUint16(ip + 20), socket.port);
    t.ok(arena.u8.slice(ip + 28, ip + 78).every(byte => byte === 0x77));
  });

  for (const tso of [true, false]) {
    t.test(`a kernel TCP connection by hand, TSO ${tso ? "on" : "off"}`, { skip }, async t => {
      const { arena, io, at, ...device } = setUp(t, tso);
      t.equal(device.tso, tso);
      const record = arena.reserve(20);
      writeEndpoint(arena.u8, record, parseEndpoint(`${PEER}:80`)!);
      const fd = sockets.tcpConnect(arena, record);
      t.ok(fd > 0);
      t.teardown(() => sockets.close(fd));
      const syn = readSegment(io, arena, at) as Segment;
      t.match(syn, { flags: SYN, destinationPort: 80, partialChecksumAt: 36, gsoType: 0 });
      // Our own checksum is partial too, and the kernel takes it.
      let sequence = 1000;
      let acknowledgement = (syn.sequence + 1) >>> 0;
      t.ok(writeSegment(io, arena, at, syn, { sequence, acknowledgement, flags: SYN | ACK }) > 0);
      sequence++;
      t.match(readSegment(io, arena, at), { flags: ACK, acknowledgement: sequence });
      t.equal(sockets.takeError(fd), 0);

      t.test("kernel to device", async t => {
        const sent = pattern(40_000);
        const from = arena.reserve(sent.length);
        arena.u8.set(sent, from);
        t.equal(sockets.write(arena, fd, from, sent.length), sent.length);
        const received: Uint8Array[] = [];
        let largest = 0;
        for (let bytes = 0; bytes < sent.length; ) {
          const segment = readSegment(io, arena, at);
          if (segment === null) return t.fail(`nothing to read after ${bytes} bytes`);
          t.equal(segment.sequence, acknowledgement);
          largest = Math.max(largest, segment.packetBytes);
          if (segment.packetBytes > MTU) t.match(segment, { gsoType: 1, gsoSize: 536 });
          received.push(segment.payload);
          bytes += segment.payload.length;
          acknowledgement = (acknowledgement + segment.payload.length) >>> 0;
          writeSegment(io, arena, at, segment, { sequence, acknowledgement, flags: ACK });
        }
        t.equal(Buffer.compare(Buffer.concat(received), sent), 0);
        if (tso) t.ok(largest > 4000, `largest packet ${largest} bytes`);
        else t.ok(largest <= MTU);
        return;
      });

      for (const gathered of [false, true]) {
        t.test(`device to kernel, as super-segments${gathered ? " in two pieces" : ""}`, async t => {
          t.equal(io.probeGsoWrite(at), true);
          const sent = pattern(30_000);
          const into = arena.reserve(sent.length);
          const written = writeSegment(io, arena, at, syn, {
            sequence,
            acknowledgement,
            flags: ACK,
            payload: sent,
            gsoSize: 1360,
            ...(gathered ? { text: arena.reserve(sent.length) } : {}),
          });
          t.equal(written, VIRTIO_NET_HDR_BYTES + 40 + sent.length);
          sequence += sent.length;
          let bytes = 0;
          while (bytes < sent.length) {
            const length = sockets.read(arena, fd, into + bytes, sent.length - bytes);
            if (length <= 0) return t.fail(`read ${length} after ${bytes} bytes`);
            bytes += length;
          }
          t.equal(Buffer.compare(arena.u8.subarray(into, into + bytes), sent), 0);
          return;
        });
      }
    });
  }
}

function pattern(bytes: number): Uint8Array {
  return Uint8Array.from({ length: bytes }, (_, i) => (i * 31 + (i >> 9)) & 255);
}
