/** Questions by the million: mutated ones and noise, the same for the same seed. */
import { encode, type Packet } from "dns-packet";

/** `CZCTL_FUZZ_PACKETS=1000000 node dist/test/dns/message.test.js` for as many as one likes. */
export const FUZZ_PACKETS: number = Number(process.env.CZCTL_FUZZ_PACKETS ?? 100_000);
export const FUZZ_SEED: number = Number(process.env.CZCTL_FUZZ_SEED ?? 20260101);

export function query(name: string, extra: Partial<Packet> = {}): Buffer {
  return encode({
    type: "query",
    id: 0x1234,
    flags: 0x0100,
    questions: [{ name, type: "A", class: "IN" }],
    ...extra,
  });
}

export function edns(udpPayloadSize: number, ednsVersion: number = 0): Partial<Packet> {
  return {
    additionals: [
      {
        type: "OPT",
        name: ".",
        udpPayloadSize,
        extendedRcode: 0,
        ednsVersion,
        flags: 0,
        flag_do: false,
        options: [],
      },
    ],
  };
}

/** RFC 7873 §4.1: with a client's cookie of eight bytes. */
export function cookie(data: Buffer): Partial<Packet> {
  const [opt] = edns(1232).additionals as [object];
  return { additionals: [{ ...opt, options: [{ code: 10, data }] }] as never };
}

const SEEDS: readonly Buffer[] = [
  query("frontend.shop.svc.cluster.local"),
  query("frontend.shop.svc.cluster.local", edns(1232)),
  query("7.0.18.198.in-addr.arpa"),
  query("frontend", edns(512)),
  query("frontend.shop", cookie(Buffer.alloc(8, 7))),
  query("_pg._tcp.db.shop.svc.cluster.local", {
    questions: [{ name: "db.shop", type: "SRV", class: "IN" }],
  }),
];

export class Packets {
  private state: number;

  constructor(seed: number) {
    this.state = seed;
  }

  random(n: number): number {
    this.state = (Math.imul(this.state, 1664525) + 1013904223) >>> 0;
    return Math.floor((this.state / 2 ** 32) * n);
  }

  next(): Buffer {
    return this.random(4) === 0 ? this.noise() : this.mutated();
  }

  private mutated(): Buffer {
    const base = SEEDS[this.random(SEEDS.length)] as Buffer;
    const bytes = Buffer.concat([
      base.subarray(0, base.length - this.random(4)),
      Buffer.alloc(this.random(8), this.random(256)),
    ]);
    for (let n = this.random(5); n >= 0; n--) bytes[this.random(bytes.length)] = this.random(256);
    return bytes;
  }

  /** Nothing but noise, with a header that asks one question: half of it would end at the first look otherwise. */
  private noise(): Buffer {
    const bytes = Buffer.from(Array.from({ length: this.random(80) }, () => this.random(256)));
    if (bytes.length >= 12 && this.random(2) === 0) bytes.writeUInt32BE(0x0100_0001, 2);
    return bytes;
  }
}
