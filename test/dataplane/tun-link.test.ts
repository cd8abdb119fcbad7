/** The stack on a TUN device, and this kernel as its client: what it is sent arrives as it was, also around the ring's end. */
import t from "tap";
import { Address, BlockPool, ENDPOINT_BYTES, Prefix, Ring, writeEndpoint } from "../../src/base/index.js";
import type { Context } from "../../src/dataplane/context.js";
import { Loop, StackMachine } from "../../src/dataplane/loop.js";
import { TunLink } from "../../src/dataplane/tun-link.js";
import {
  addAddress,
  addRoute,
  createArena,
  EAGAIN,
  EPOLLIN,
  openTun,
  Poller,
  setLink,
  sockets,
  VIRTIO_NET_HDR_BYTES,
} from "../../src/linux/index.js";
import { Stack } from "../../src/netstack/index.js";
import { enterNamespace, tunUnavailable } from "../linux/in-namespace.js";
import { isPattern, Source } from "../netstack/sim/streams.js";

const MTU = 1400;
const POOL_BYTES = 8 << 20;
const RING_BYTES = 256 * 1024;
const TOTAL_BYTES = 3_000_000;
const MOST_TURNS = 20_000;
const SEED = 1;
const FAMILIES = [
  { client: "198.18.0.1", server: "198.18.0.2", network: "198.18.0.0/16" },
  { client: "fd00:63::1", server: "fd00:63::2", network: "fd00:63::/64" },
];

if (enterNamespace(t, import.meta.url)) {
  for (const { client, server, network } of FAMILIES) {
    for (const tso of [true, false]) {
      t.test(`${network}, TSO ${tso ? "on" : "off"}`, { skip: tunUnavailable() }, async t => {
        const device = openTun({ name: "czctl%d", tso });
        t.teardown(() => sockets.close(device.fd));
        setLink(device.name, { up: true, mtu: MTU, linkLocal: false });
        const address = Address.from(client);
        addAddress(device.name, address, address.bits);
        addRoute(Prefix.from(network), device.name);

        const arena = createArena(16 << 20);
        const pool = new BlockPool(arena.reserve(POOL_BYTES), POOL_BYTES);
        const loop = new Loop(new Poller(arena));
        const link = new TunLink({ arena, loop } as Context, device.fd, MTU, tso, () => t.fail("gone"));
        const ring = new Ring(arena, pool, RING_BYTES);
        const stack = new Stack({
          arena,
          pool,
          random: { uint32: () => 0x7fff_0000, fill: bytes => bytes.fill(7) },
          handler: {
            onTcpSyn(connection) {
              connection.attach(new Ring(arena, pool, RING_BYTES), ring);
              connection.accept();
            },
            onUdpFlow() {},
            onEcho: () => "ignore",
          },
        });
        link.join(stack);
        loop.add(device.fd, EPOLLIN, link);
        loop.addMachine(new StackMachine(stack));

        const [record, into] = [arena.reserve(ENDPOINT_BYTES), arena.reserve(RING_BYTES)];
        writeEndpoint(arena.u8, record, { address: Address.from(server), port: 80 });
        const fd = sockets.tcpConnect(arena, record);
        t.ok(fd > 0);
        t.teardown(() => sockets.close(fd));
        // How the packets left: their text behind the headers, or from the ring.
        const { io: tun } = link as unknown as { io: { writeGathered(...values: number[]): number } };
        const write = tun.writeGathered.bind(tun);
        let [gathered, largest] = [0, 0];
        tun.writeGathered = (...values) => {
          gathered++;
          largest = Math.max(largest, (values[1] as number) + (values[3] as number) - VIRTIO_NET_HDR_BYTES);
          return write(...values);
        };

        const source = new Source(arena, ring, SEED, TOTAL_BYTES);
        source.open = true;
        source.pump();
        let [read, wrong] = [0, 0];
        for (let turn = 0; turn < MOST_TURNS && read < TOTAL_BYTES; turn++) {
          loop.turn(1);
          const bytes = sockets.read(arena, fd, into, RING_BYTES);
          if (bytes === -EAGAIN) continue;
          if (bytes <= 0) return t.fail(`read: ${bytes}`);
          if (!isPattern(arena, into, bytes, SEED, read)) wrong++;
          read += bytes;
        }
        t.ok(read >= TOTAL_BYTES, `${read} bytes`);
        t.equal(wrong, 0);
        t.equal(link.counters.writeErrors, 0);
        t.ok(gathered > 0);
        if (tso) t.ok(largest > 4 * MTU, `largest packet from the ring: ${largest} bytes`);
        else t.ok(largest <= MTU);
        return;
      });
    }
  }
}
