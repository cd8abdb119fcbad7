/** The whole table of questions at the running responder: over UDP, TCP and EDNS sizes, in the askers' case. */
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { type Answer, decode, encode, type Packet, type RecordType } from "dns-packet";
import t from "tap";
import { DnsResponder } from "../../src/dns/index.js";
import { QUESTIONS } from "./questions.js";
import { makeZone } from "./world.js";

const RCODES = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];

type Ask = (query: Buffer) => Promise<Buffer>;

function text(record: Answer): string {
  const { name, type, data } = record as { name: string; type: string; data: unknown };
  const shown = (value: unknown): string =>
    Buffer.isBuffer(value) || typeof value !== "object" || value === null
      ? String(value)
      : Array.isArray(value)
        ? value.map(shown).join("")
        : shownObject(type, value as Record<string, unknown>);
  return `${name} ${type} ${shown(data)}`;
}

function shownObject(type: string, data: Record<string, unknown>): string {
  const order =
    type === "SRV"
      ? ["priority", "weight", "port", "target"]
      : ["mname", "rname", "serial", "refresh", "retry", "expire", "minimum"];
  return order.map(key => String(data[key])).join(" ");
}

function brief(response: Buffer): string[] {
  const { answers, authorities, additionals } = decode(response);
  const records = (additionals ?? []).filter(record => record.type !== "OPT");
  return [
    RCODES[(response[3] as number) & 15] as string,
    ...(answers ?? []).map(text),
    ...(authorities ?? []).map(record => `/ ${text(record)}`),
    ...records.map(record => `+ ${text(record)}`),
  ];
}

function query(id: number, name: string, type: string, udpPayloadSize: number | null): Buffer {
  const opt = {
    type: "OPT",
    name: ".",
    udpPayloadSize,
    extendedRcode: 0,
    ednsVersion: 0,
    flags: 0,
    flag_do: false,
    options: [],
  };
  return encode({
    type: "query",
    id,
    flags: 0x0100,
    questions: [{ name: name === "" ? "." : name, type: type as RecordType, class: "IN" }],
    ...(udpPayloadSize === null ? {} : { additionals: [opt as unknown as Answer] }),
  } satisfies Packet);
}

/** One question at a time over one UDP socket. */
function overUdp(socket: UdpSocket, port: number): Ask {
  return async asked => {
    socket.send(asked, port, "127.0.0.1");
    const [response] = (await once(socket, "message")) as [Buffer];
    return response;
  };
}

/** RFC 7766: one question at a time over one connection. */
function overTcp(socket: Socket): Ask {
  return async asked => {
    const prefix = Buffer.from([asked.length >> 8, asked.length & 255]);
    socket.write(Buffer.concat([prefix, asked]));
    let bytes = Buffer.alloc(0);
    while (bytes.length < 2 || bytes.length < 2 + bytes.readUInt16BE(0)) {
      const [chunk] = (await once(socket, "data")) as [Buffer];
      bytes = Buffer.concat([bytes, chunk]);
    }
    return bytes.subarray(2);
  };
}

/** Letters of mixed case, the same for the same name (draft-vixie-dnsext-dns0x20). */
function mixed(name: string): string {
  return [...name].map((letter, i) => (i % 3 === 1 ? letter.toUpperCase() : letter)).join("");
}

t.test(`${QUESTIONS.length} questions, six ways`, async t => {
  t.ok(QUESTIONS.length >= 80);
  const responder = new DnsResponder();
  const { udpPort, tcpPort } = await responder.start({ address: "127.0.0.1", port: 0 });
  responder.setZone(makeZone());
  const udpSocket = createSocket("udp4");
  const tcpSocket = connect(tcpPort, "127.0.0.1");
  await once(tcpSocket, "connect");
  t.teardown(async () => {
    udpSocket.close();
    tcpSocket.destroy();
    await responder.close();
  });
  const udp = overUdp(udpSocket, udpPort);
  const tcp = overTcp(tcpSocket);
  const ways: [name: string, ask: Ask, edns: number | null, limitBytes: number][] = [
    ["UDP", udp, null, 512],
    ["UDP, EDNS 512", udp, 512, 512],
    ["UDP, EDNS 1232", udp, 1232, 1232],
    ["UDP, EDNS 4096", udp, 4096, 1232],
    ["TCP", tcp, null, 65_535],
    ["TCP, EDNS 1232", tcp, 1232, 65_535],
  ];
  let id = 1;
  for (const [way, ask, edns, limitBytes] of ways) {
    for (const [name, type, ...expected] of QUESTIONS) {
      for (const asked of [name, mixed(name)]) {
        const what = `${asked} ${type} over ${way}`;
        const sent = query(++id, asked, type, edns);
        const response = await ask(sent);
        if (response.readUInt16BE(0) !== id) t.fail(`${what}: another question's identifier`);
        if (response.length > limitBytes) t.fail(`${what}: ${response.length} bytes`);
        const questionEnd = sent.length - (edns === null ? 0 : 11);
        if (!response.subarray(12, questionEnd).equals(sent.subarray(12, questionEnd)))
          t.fail(`${what}: the question came back changed`);
        const hasOpt = (decode(response).additionals ?? []).some(record => record.type === "OPT");
        if (hasOpt !== (edns !== null)) t.fail(`${what}: OPT ${hasOpt}`);
        const got = brief(response);
        const fold = (lines: string[]): string[] => lines.map(line => line.toLowerCase());
        // In the tight sizes additional records may be left out silently (RFC 2181 §9).
        const wanted =
          limitBytes > 512
            ? expected
            : expected.filter(line => !line.startsWith("+") || fold(got).includes(line.toLowerCase()));
        if (asked === name) t.strictSame(got, wanted.map(stripDot), what);
        else if (fold(got).join("\n") !== fold(wanted.map(stripDot)).join("\n")) t.same(got, wanted, what);
      }
    }
  }
});

/** Records that repeat a name asked with its final dot carry it on the wire like all others. */
function stripDot(line: string): string {
  return line.replace(/\. (?=[A-Z])/g, " ");
}
