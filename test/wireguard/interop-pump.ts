/**
 * A device on a node:dgram socket, run by interop.test.ts within a network namespace: one JSON object per
 * line in (`{"ping": N}`, `{"stop": true}`) and out (`{"event": …}`). Answers ICMP echo to its inner address.
 */
import { randomFillSync } from "node:crypto";
import { createSocket } from "node:dgram";
import { createInterface } from "node:readline";
import {
  Address,
  Arena,
  ENDPOINT_BYTES,
  type Endpoint,
  formatEndpoint,
  fromBase64,
  Prefix,
  parseEndpoint,
  readEndpoint,
  writeEndpoint,
} from "../../src/base/index.js";
import { createCrypto } from "../../src/crypto/index.js";
import { Device } from "../../src/wireguard/index.js";

export interface PumpConfig {
  prefer: "fast" | "plain";
  port: number;
  privateKey: string;
  peerKey: string;
  presharedKey?: string;
  peerEndpoint?: string;
  inner: string;
  peerInner: string;
}

const HEADER_BYTES = 16;
const ECHO_BYTES = 84;

function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += ((bytes[i] as number) << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** An ICMP echo message in an IPv4 packet. @param type 8 request, 0 reply */
function echo(type: number, source: Address, destination: Address, body: Uint8Array): Uint8Array {
  const packet = new Uint8Array(20 + body.length);
  const view = new DataView(packet.buffer);
  packet.set([0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 1]);
  view.setUint16(2, packet.length);
  source.write(packet, 12);
  destination.write(packet, 16);
  view.setUint16(10, checksum(packet.subarray(0, 20)));
  packet.set(body, 20);
  packet[20] = type;
  view.setUint16(22, 0);
  view.setUint16(22, checksum(packet.subarray(20)));
  return packet;
}

function run(config: PumpConfig): void {
  const say = (event: Record<string, unknown>): boolean => process.stdout.write(`${JSON.stringify(event)}\n`);
  const now = (): number => performance.now();
  const key = (text: string): Uint8Array => fromBase64(text) as Uint8Array;
  const arena = new Arena(1 << 20);
  const { suite } = createCrypto(arena, { prefer: config.prefer });
  const buffer = arena.reserve(1 << 16) + 64;
  const source = arena.reserve(ENDPOINT_BYTES);
  const socket = createSocket("udp4");
  const random = {
    uint32: (): number => randomFillSync(new Uint32Array(1))[0] as number,
    fill: (bytes: Uint8Array): void => void randomFillSync(bytes),
  };
  const transmit = (endpoint: Uint8Array, offset: number, length: number): void => {
    const { address, port } = readEndpoint(endpoint, 0);
    socket.send(arena.u8.slice(offset, offset + length), port, address.toString());
  };
  const device = new Device({
    arena,
    crypto: suite,
    random,
    privateKey: key(config.privateKey),
    wallClock: Date.now,
    output: { send: transmit },
    events: {
      onHandshake: peer => say({ event: "handshake", initiator: peer.keypairs.current?.isInitiator }),
      onHandshakeTimeout: (_peer, seconds) => say({ event: "timeout", seconds }),
      onQuiet: () => false,
      onPeerEndpoint: peer => say({ event: "endpoint", at: formatEndpoint(readEndpoint(peer.endpoint, 0)) }),
    },
  });
  const inner = Address.from(config.inner);
  const peerInner = Address.from(config.peerInner);
  const peer = device.addPeer(
    {
      publicKey: key(config.peerKey),
      allowedIps: [Prefix.host(peerInner)],
      ...(config.presharedKey === undefined ? {} : { presharedKey: key(config.presharedKey) }),
      ...(config.peerEndpoint === undefined
        ? {}
        : { endpoint: parseEndpoint(config.peerEndpoint) as Endpoint }),
    },
    now(),
  );

  let timer: NodeJS.Timeout | undefined;
  const rearm = (): void => {
    clearTimeout(timer);
    const at = device.pollAt();
    if (at === Number.POSITIVE_INFINITY) return;
    timer = setTimeout(
      () => {
        device.poll(now());
        rearm();
      },
      Math.max(0, at - now()),
    );
  };
  const send = (packet: Uint8Array): void => {
    arena.u8.set(packet, buffer + HEADER_BYTES);
    const total = device.seal(peer, buffer + HEADER_BYTES, packet.length, now());
    device.runSeals();
    if (total > 0) transmit(peer.endpoint, buffer, total);
    rearm();
  };
  const receive = (packet: Uint8Array): void => {
    if (packet[9] !== 1) return;
    const body = packet.slice(20);
    if (body[0] === 8) {
      say({ event: "request", bytes: packet.length });
      send(echo(0, inner, peerInner, body));
    } else if (body[0] === 0) {
      const intact = checksum(body) === 0 && body.subarray(8).every((byte, i) => byte === (i & 0xff));
      say({ event: "reply", sequence: (body[6] as number) * 256 + (body[7] as number), intact });
    }
  };

  socket.on("message", (message, { address, port }) => {
    arena.u8.set(message, buffer);
    writeEndpoint(arena.u8, source, { address: Address.from(address), port });
    device.receive(buffer, message.length, message.length, source, now());
    const length = device.next();
    if (length > 0) receive(arena.u8.slice(device.received.at, device.received.at + length));
    rearm();
  });
  socket.bind(config.port, () => say({ event: "ready", crypto: suite.name }));
  createInterface(process.stdin).on("line", line => {
    const command = JSON.parse(line) as {
      ping?: number;
      bytes?: number;
      handshake?: boolean;
      stop?: boolean;
    };
    if (command.ping !== undefined) {
      const body = Uint8Array.from({ length: (command.bytes ?? ECHO_BYTES) - 20 }, (_, i) => (i - 8) & 0xff);
      body.set([8, 0, 0, 0, 0x12, 0x34, command.ping >>> 8, command.ping]);
      send(echo(8, inner, peerInner, body));
    }
    if (command.handshake) {
      device.networkChanged(now());
      rearm();
    }
    if (command.stop) {
      say({ event: "stopped", counters: device.counters, rxBytes: peer.rxBytes, txBytes: peer.txBytes });
      process.exit(0);
    }
  });
}

run(JSON.parse(process.argv[2] as string) as PumpConfig);
