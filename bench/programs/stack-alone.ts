/**
 * The laptop's stack without a tunnel: TUN → netstack → kernel socket, in one process. It opens the device NAME
 * where it runs (its sockets stay there) and says "ready"; the benchmark then moves the device to the guest.
 */
import { BlockPool, ENDPOINT_BYTES } from "../../src/base/index.js";
import type { Context } from "../../src/dataplane/context.js";
import { Dial } from "../../src/dataplane/dial.js";
import { DialLimit } from "../../src/dataplane/dial-limit.js";
import { Loop, StackMachine } from "../../src/dataplane/loop.js";
import { StreamQueue } from "../../src/dataplane/stream-queue.js";
import { TunLink } from "../../src/dataplane/tun-link.js";
import { createArena, EPOLLIN, openTun, Poller } from "../../src/linux/index.js";
import { useNativeStrided } from "../../src/machine/index.js";
import { Stack } from "../../src/netstack/index.js";

const ARENA_BYTES = 256 << 20;
const PACKET_BYTES = 4 << 20;
const [name = "bench0", mtu = "1500"] = process.argv.slice(2);

const arena = createArena(ARENA_BYTES);
useNativeStrided(arena);
const loop = new Loop(new Poller(arena));
const scratchEndpoint = arena.reserve(ENDPOINT_BYTES);
const scratchDatagram = arena.reserve(65_536);
const poolBytes = ARENA_BYTES - PACKET_BYTES;
const pool = new BlockPool(arena.reserve(poolBytes), poolBytes);
const streams = new StreamQueue();
const dials = new DialLimit();
const context: Context = {
  arena,
  pool,
  loop,
  streams,
  dials,
  scratchEndpoint,
  scratchDatagram,
  tell: () => {},
};
loop.addMachine(dials);
loop.addMachine(streams);

const device = openTun({ name, tso: true });
const link = new TunLink(context, device.fd, Number(mtu), device.tso, () => loop.stop());
const stack = new Stack({
  arena,
  pool,
  random: { uint32: () => (Math.random() * 2 ** 32) >>> 0, fill: bytes => bytes.fill(7) },
  handler: {
    onTcpSyn(connection) {
      const targets = [{ address: connection.local, port: connection.localPort }];
      new Dial(context, connection, { targets });
    },
    onUdpFlow: flow => flow.refuse("port"),
    onEcho: () => "reply",
  },
});
link.join(stack);
loop.add(device.fd, EPOLLIN, link);
loop.addMachine(new StackMachine(stack));
process.stdout.write("ready\n", () => loop.run());
