import { spawnSync } from "node:child_process";
import t from "tap";
import {
  Address,
  Arena,
  ENDPOINT_BYTES,
  hasLocalAddress,
  parseEndpoint,
  readEndpoint,
  writeEndpoint,
} from "../../src/base/index.js";
import { EAGAIN, EMSGSIZE, setLink, UdpSocket } from "../../src/linux/index.js";
import { enterNamespace } from "./in-namespace.js";

const BYTES = 65_536;

if (enterNamespace(t, import.meta.url)) {
  /** One arena with room to send from and to receive into, and an endpoint of each. */
  const bench = () => {
    const arena = new Arena(1 << 20);
    const out = arena.reserve(BYTES);
    for (let i = 0; i < BYTES; i++) arena.u8[out + i] = (i * 7 + (i >> 8)) & 255;
    return {
      arena,
      out,
      into: arena.reserve(BYTES),
      to: arena.reserve(ENDPOINT_BYTES),
      from: arena.reserve(ENDPOINT_BYTES),
    };
  };

  for (const [local, label] of [
    ["127.0.0.1", "IPv4 through a dual-stack socket"],
    ["::1", "IPv6"],
  ] as const) {
    for (const gso of [true, false]) {
      t.test(`${label}, GSO ${gso ? "on" : "off"}: datagrams arrive byte-exact with their sizes`, async t => {
        const { arena, out, into, to, from } = bench();
        const a = UdpSocket.bind(arena, { port: 0, gso });
        const b = UdpSocket.bind(arena, { port: 0 });
        t.equal(a.gso, gso);
        t.equal(b.gro, true);
        writeEndpoint(arena.u8, to, { address: Address.from(local), port: b.port });
        for (const [length, segment] of [
          [1, 1],
          [1452, 1452],
          [1452 * 2, 1452],
          [1452 * 44, 1452],
          [1452 * 44 + 17, 1452],
          [64 * 100, 100],
          [148, 1452],
        ] as const) {
          t.equal(a.send(out, length, segment, to), length);
          let done = 0;
          let calls = 0;
          while (done < length) {
            arena.u8.fill(0, into, into + BYTES);
            const total = b.receive(into, BYTES, from);
            t.ok(total > 0, `received ${total}`);
            if (total <= 0) return;
            t.equal(b.segmentBytes, Math.min(segment, total));
            t.same(
              Buffer.compare(
                arena.u8.subarray(into, into + total),
                arena.u8.subarray(out + done, out + done + total),
              ),
              0,
            );
            done += total;
            calls++;
          }
          t.equal(done, length);
          if (gso) t.equal(calls, 1, "one call takes the whole batch");
          t.same(readEndpoint(arena.u8, from), { address: Address.from(local), port: a.port });
        }
        t.equal(b.receive(into, BYTES, from), -EAGAIN);
        // The record that was received is one that can be sent to.
        t.equal(b.send(out, 100, 100, from), 100);
        t.equal(a.receive(into, BYTES, to), 100);
        t.equal(a.segmentBytes, 100);
        a.close();
        b.close();
      });
    }
  }

  t.test("GRO off: one datagram a call", async t => {
    const { arena, out, into, to, from } = bench();
    const a = UdpSocket.bind(arena, { port: 0 });
    const b = UdpSocket.bind(arena, { port: 0, gro: false });
    t.equal(b.gro, false);
    writeEndpoint(arena.u8, to, { address: Address.from("127.0.0.1"), port: b.port });
    a.send(out, 3000, 1200, to);
    t.same(
      [0, 1, 2, 3].map(() => b.receive(into, BYTES, from)),
      [1200, 1200, 600, -EAGAIN],
    );
    a.close();
    b.close();
  });

  t.test("empty datagrams are received", async t => {
    const { arena, out, into, to, from } = bench();
    const a = UdpSocket.bind(arena, { port: 0 });
    writeEndpoint(arena.u8, to, { address: Address.from("127.0.0.1"), port: a.port });
    t.equal(a.send(out, 0, 0, to), 0);
    t.equal(a.receive(into, BYTES, from), 0);
    t.equal(a.segmentBytes, 0);
    a.close();
  });

  t.test("segments over the path's MTU go out one by one in fragments, and GSO stays on", async t => {
    setLink("lo", { mtu: 1500 });
    t.teardown(() => setLink("lo", { mtu: 65_536 }));
    const { arena, out, into, to, from } = bench();
    const a = UdpSocket.bind(arena, { port: 0 });
    const b = UdpSocket.bind(arena, { port: 0 });
    writeEndpoint(arena.u8, to, { address: Address.from("127.0.0.1"), port: b.port });
    t.equal(a.send(out, 5000, 2000, to), 5000);
    t.same(
      [0, 1, 2].map(() => b.receive(into, BYTES, from)),
      [2000, 2000, 1000],
    );
    t.equal(a.gso, true);

    a.setDontFragment(true);
    t.equal(a.send(out, 1480, 1480, to), -EMSGSIZE);
    t.equal(a.send(out, 5000, 2000, to), -EMSGSIZE);
    t.equal(a.send(out, 1472, 1472, to), 1472);
    a.setDontFragment(false);
    t.equal(a.send(out, 2000, 2000, to), 2000);
    a.close();
    b.close();
  });

  t.test("more than one GSO call carries goes out one by one", async t => {
    const { arena, out, into, to, from } = bench();
    const a = UdpSocket.bind(arena, { port: 0 });
    writeEndpoint(arena.u8, to, { address: Address.from("::1"), port: a.port });
    t.equal(a.send(out, 200 * 10, 10, to), 2000);
    let received = 0;
    for (let total = 0; total !== -EAGAIN; total = a.receive(into, BYTES, from)) received += total;
    t.equal(received, 2000);
    a.close();
  });

  t.test("a full receive buffer loses datagrams; the sender is not told, and never blocks", async t => {
    const { arena, out, to } = bench();
    const a = UdpSocket.bind(arena, { port: 0, bufferBytes: 64 * 1024 });
    writeEndpoint(arena.u8, to, { address: Address.from("127.0.0.1"), port: a.port });
    for (let i = 0; i < 100; i++) {
      const sent = a.send(out, 60_000, 1200, to);
      t.ok(sent === 60_000 || sent === -EAGAIN, `${sent}`);
    }
    a.close();
  });

  t.test("datagrams that do not begin with a byte are parted: their flood loses nobody else's", async t => {
    for (const text of ["127.0.0.1", "::1"]) {
      const { arena, out, into, to, from } = bench();
      const a = UdpSocket.bind(arena, { port: 0 });
      const others = a.divertOthers(4, 16 * 1024);
      t.not(others, null);
      if (others === null) return;
      t.equal(others.port, a.port);
      const sender = UdpSocket.bind(arena, { port: 0 });
      writeEndpoint(arena.u8, to, { address: Address.from(text), port: a.port });
      for (let i = 0; i < 500; i++) {
        arena.u8[out] = 1;
        sender.send(out, 148, 148, to);
        if (i % 10 !== 0) continue;
        arena.u8[out] = 4;
        // A batch, which reaches one socket whole.
        for (let at = 0; at < 20; at++) arena.u8[out + at * 100] = 4;
        sender.send(out, 2000, 100, to);
      }
      let received = 0;
      for (let total = 0; total !== -EAGAIN; total = a.receive(into, BYTES, from)) {
        received += Math.max(0, total);
        if (total > 0) t.equal(arena.u8[into], 4);
      }
      t.equal(received, 50 * 2000, "every datagram that begins with 4");
      let flood = 0;
      while (others.receive(into, BYTES, from) === 148) flood++;
      t.ok(flood > 5 && flood < 200, `${flood} others fit their buffer`);
      t.equal(sender.send(out, 0, 0, to), 0);
      t.equal(a.receive(into, BYTES, from), 0, "an empty one begins with nothing, and comes to the first");
      t.throws(
        () => UdpSocket.bind(arena, { port: a.port }),
        /bind UDP port/,
        "the port is not free for more",
      );
      for (const socket of [a, others, sender]) socket.close();
    }
  });

  t.test("RFC 3542 §6.1: answers leave from the address that was reached, until it is gone", async t => {
    for (const [far, near, prefix, any] of [
      ["10.9.0.5", "10.9.0.9", 32, "10.9.0.7"],
      ["fd00::5", "fd00::9", 128, "fd00::7"],
    ] as const) {
      const addresses = [any, far, near];
      const ip = (verb: string): void => {
        for (const address of addresses) spawnSync("ip", ["addr", verb, `${address}/${prefix}`, "dev", "lo"]);
      };
      ip("add");
      for (const gso of [true, false]) {
        const { arena, out, into, to, from } = bench();
        const agent = UdpSocket.bind(arena, { port: 0, gso });
        const peer = UdpSocket.bind(arena, { address: Address.from(far), port: 0 });
        const others = agent.divertOthers(4, 1 << 16);
        writeEndpoint(arena.u8, to, { address: Address.from(near), port: agent.port });
        for (const [first, socket] of [
          [4, agent],
          [1, others],
        ] as const) {
          arena.u8[out] = first;
          peer.send(out, 300, 300, to);
          t.equal(socket?.receive(into, BYTES, from), 300);
          t.ok(hasLocalAddress(arena.u8, from));
          t.equal(agent.send(out, 3000, 1000, from), 3000, "a batch, answered to the record");
          t.equal(peer.receive(into, BYTES, to) % 1000, 0);
          t.same(readEndpoint(arena.u8, to), { address: Address.from(near), port: agent.port }, near);
          while (peer.receive(into, BYTES, to) > 0);
        }
        t.equal(spawnSync("ip", ["addr", "del", `${near}/${prefix}`, "dev", "lo"]).status, 0);
        t.equal(agent.send(out, 3000, 1000, from), 3000, "it still goes out");
        t.notOk(hasLocalAddress(arena.u8, from), "and the record is told");
        peer.receive(into, BYTES, to);
        t.not(String(readEndpoint(arena.u8, to).address), near);
        ip("add");
        for (const socket of [agent, peer, others]) socket?.close();
      }
      ip("del");
    }
  });

  t.test("bound to one address, of either family", async t => {
    const { arena, out, into, to, from } = bench();
    for (const text of ["127.0.0.2", "::1"]) {
      const a = UdpSocket.bind(arena, { address: Address.from(text), port: 0 });
      writeEndpoint(arena.u8, to, { address: Address.from(text), port: a.port });
      t.equal(a.send(out, 10, 10, to), 10);
      t.equal(a.receive(into, BYTES, from), 10);
      a.close();
    }
    const v4 = UdpSocket.bind(arena, { address: Address.from("127.0.0.1"), port: 0 });
    writeEndpoint(arena.u8, to, parseEndpoint("[::1]:9")!);
    t.equal(v4.send(out, 10, 10, to), -97, "EAFNOSUPPORT");
    v4.close();
  });

  t.test("ports: taken, forbidden address", async t => {
    const { arena } = bench();
    const a = UdpSocket.bind(arena, { port: 51_820 });
    t.equal(a.port, 51_820);
    t.throws(() => UdpSocket.bind(arena, { port: 51_820 }), {
      code: "ADDRESS_IN_USE",
      category: "environment",
      message: /cannot bind UDP port 51820: address already in use/,
    });
    t.throws(() => UdpSocket.bind(arena, { address: Address.from("203.0.113.1"), port: 1 }), {
      code: "ADDRESS_NOT_AVAILABLE",
      message: /on 203\.0\.113\.1/,
    });
    a.close();
  });

  t.test("without IPv6 on the machine IPv4 works", async t => {
    if (spawnSync("sysctl", ["-qw", "net.ipv6.conf.all.disable_ipv6=1"]).status !== 0) {
      return t.pass("", { skip: "cannot switch IPv6 off" });
    }
    t.teardown(() => spawnSync("sysctl", ["-qw", "net.ipv6.conf.all.disable_ipv6=0"]));
    const { arena, out, into, to, from } = bench();
    const a = UdpSocket.bind(arena, { port: 0 });
    writeEndpoint(arena.u8, to, { address: Address.from("127.0.0.1"), port: a.port });
    t.equal(a.send(out, 3000, 1000, to), 3000);
    t.equal(a.receive(into, BYTES, from), 3000);
    a.close();
    return;
  });
}
