/**
 * The services on our stack behind a real TUN device: the process under test. It is the data plane's loop with
 * one link and no tunnel. Prints "ready".
 *
 * The link writes whole checksums, so that the raw peer can verify them, and counts as congested, so that what
 * holds towards the tunnel (initial window, recovery) is what is seen.
 */
import { randomBytes } from "node:crypto";
import {
  Arena,
  BlockPool,
  type Milliseconds,
  Ring,
  type RingReader,
  type RingWriter,
} from "../../src/base/index.js";
import { Loop, type Machine, type Source, StackMachine } from "../../src/dataplane/loop.js";
import { EPOLLIN, openTun, Poller, TunIo, VIRTIO_NET_HDR_BYTES, virtioNet } from "../../src/linux/index.js";
import {
  type Link,
  Stack,
  type StackHandler,
  type TcpConnection,
  type UdpFlow,
} from "../../src/netstack/index.js";
import * as services from "./services.js";

const MTU = 1500;
const PACKET_BYTES = 65_536;
const RING_BYTES = 65_536;
const UDP_MOST_BYTES = 65_507;

const arena = new Arena(128 << 20);
const pool = new BlockPool(arena.reserve(96 << 20), 96 << 20);
const loop = new Loop(new Poller(arena));
const device = openTun({ name: process.argv[2] ?? "", tso: false });
const io = new TunIo(arena, device.fd);
const scratch = arena.reserve(PACKET_BYTES);
const text = arena.reserve(services.SOURCE_BYTES);
arena.u8.set(Buffer.from("bye".repeat(services.SOURCE_BYTES / 3)), text);

class PlainTunLink implements Link, Source {
  readonly mtu = MTU;
  readonly maxGsoBytes = 0;
  readonly checksum = "full";
  readonly congested = true;
  private readonly input = arena.reserve(PACKET_BYTES + 64) + 6;
  private readonly output = arena.reserve(PACKET_BYTES + 64) + 6;

  onReady(_events: number, now: Milliseconds): void {
    for (;;) {
      const length = io.read(this.input, PACKET_BYTES);
      if (length <= VIRTIO_NET_HDR_BYTES) return;
      const trusted = virtioNet.checksumTrusted(arena, this.input);
      stack.process(this, this.input + VIRTIO_NET_HDR_BYTES, length - VIRTIO_NET_HDR_BYTES, now, trusted);
      // One at a time: the scenarios ask what answers each packet.
      stack.dispatch(now);
    }
  }

  reserve(): number {
    return this.output + VIRTIO_NET_HDR_BYTES;
  }

  commit(bytes: number): void {
    virtioNet.writePlain(arena, this.output);
    io.write(this.output, VIRTIO_NET_HDR_BYTES + bytes);
  }
}

/** Both ends' user: reads and writes the rings as the service of `port` does. */
class Service implements RingReader, RingWriter {
  private readonly port: number;
  private readonly connection: TcpConnection;
  private readonly receive: Ring = new Ring(arena, pool, RING_BYTES);
  private readonly send: Ring = new Ring(arena, pool, RING_BYTES);
  private reading = true;

  constructor(port: number, connection: TcpConnection) {
    this.port = port;
    this.connection = connection;
    this.receive.reader = this;
    this.send.writer = this;
    connection.attach(this.receive, this.send);
    connection.accept();
    if (port === services.SOURCE || port === services.FILE) this.write(services.SOURCE_BYTES);
    if (port === services.CLOSE || port === services.FILE) this.send.finish();
    if (port === services.HOLD) this.reading = false;
    if (port === services.LATE) {
      this.reading = false;
      wakeUps.push({
        at: loop.now + services.LATE_MS,
        run: () => {
          this.reading = true;
          this.onRingData();
        },
      });
    }
    if (port === services.DIAL) {
      const out = stack.connect(
        connection.link,
        connection.local,
        connection.remote,
        services.DIAL_PORT,
        loop.now,
      );
      new Service(services.SINK, out);
    }
  }

  onRingData(): void {
    const { receive, send, port } = this;
    if (!this.reading) return;
    if (port === services.RESET && receive.length > 0) {
      this.connection.abort();
      return;
    }
    if (port === services.ECHO) this.echo();
    else if (receive.length > 0) receive.consume(receive.length);
    if (!receive.finished || receive.length > 0 || send.finished) return;
    if (port === services.HALF) this.write(3);
    send.finish();
  }

  onRingSpace(): void {
    if (this.port === services.ECHO) this.onRingData();
  }

  onRingAborted(): void {}

  private echo(): void {
    const { receive, send } = this;
    for (let length = Math.min(receive.length, send.space); length > 0; ) {
      const run = receive.contiguous(receive.head, length);
      if (!send.write(receive.offsetOf(receive.head), run)) return;
      receive.consume(run);
      length -= run;
    }
  }

  private write(bytes: number): void {
    this.send.write(text, bytes);
  }
}

const wakeUps: { at: Milliseconds; run: () => void }[] = [];
const wakeUpMachine: Machine = {
  poll: now => {
    for (const due of wakeUps.filter(one => one.at <= now)) {
      wakeUps.splice(wakeUps.indexOf(due), 1);
      due.run();
    }
  },
  flush: () => {},
  pollAt: () => Math.min(...wakeUps.map(one => one.at)),
};

const handler: StackHandler = {
  onTcpSyn: connection => {
    if (services.SERVICE_PORTS.includes(connection.localPort)) new Service(connection.localPort, connection);
    else connection.refuse();
  },
  onUdpFlow: (flow: UdpFlow) => {
    if (flow.localPort !== services.ECHO) return flow.refuse("port");
    flow.receiver = {
      onUdpData: (offset, length) => {
        arena.u8.copyWithin(scratch, offset, offset + Math.min(length, UDP_MOST_BYTES));
        flow.send(scratch, length, loop.now);
      },
      onUdpUnreachable: () => {},
      onUdpClosed: () => {},
    };
  },
  onEcho: () => "reply",
};

const random = {
  uint32: (): number => randomBytes(4).readUInt32LE(),
  fill: (bytes: Uint8Array): void => void bytes.set(randomBytes(bytes.length)),
};
const stack: Stack = new Stack({ arena, pool, random, handler });
loop.add(device.fd, EPOLLIN, new PlainTunLink());
loop.addMachine(wakeUpMachine);
loop.addMachine(new StackMachine(stack));
// Before the loop takes the thread: libuv would write it too late.
await new Promise<void>(resolve => process.stdout.write("ready\n", () => resolve()));
loop.run();
