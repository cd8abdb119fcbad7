/** Explicit congestion notification: RFC 3168 §6.1. */
import { mss } from "../packet.js";
import { type Peer, tell } from "../peer.js";
import type { Scenario } from "../scenario.js";
import { DIAL, DIAL_PORT, ECHO, SINK, SOURCE } from "../services.js";

const CE = { ecn: 3 };
const CODEPOINTS = ["Not-ECT", "ECT(1)", "ECT(0)", "CE"];

/** The handshake with ECE and CWR on the SYN; flags of what answers it. */
async function open(p: Peer, port: number, flags = "SEC"): Promise<string> {
  p.serverPort = port;
  p.next = 1;
  p.send({ flags, seq: 0, options: mss(1460) });
  const answer = await p.expect("SYN-ACK", seen => seen.flags.startsWith("SA"));
  p.targetScale = 0;
  p.got = 1;
  p.send();
  await p.fence();
  return `${answer.flags}, ${CODEPOINTS[answer.ecn]}`;
}

async function echoed(p: Peer): Promise<string> {
  p.write("x");
  const echo = await p.expect("echo", seen => seen.length > 0);
  return CODEPOINTS[echo.ecn] as string;
}

/** One byte of the stream, marked or with flags, and what acknowledges it. */
async function byte(p: Peer, flags: string, ip: { ecn?: number } = {}): Promise<string> {
  p.send({ flags, data: "x", ip });
  p.next++;
  return p.reply();
}

export const ECN: readonly Scenario[] = [
  {
    name: "ECN: a SYN that asks is granted, by a SYN-ACK that is not ECN-capable itself",
    rfc: "3168 §6.1.1",
    run: p => open(p, SINK),
    expected: "SAE, Not-ECT",
  },
  {
    name: "ECN: a SYN with ECE alone does not ask",
    rfc: "3168 §6.1.1",
    run: p => open(p, SINK, "SE"),
    expected: "SA, Not-ECT",
  },
  {
    name: "ECN: a SYN with CWR alone does not ask",
    rfc: "3168 §6.1.1",
    run: p => open(p, SINK, "SC"),
    expected: "SA, Not-ECT",
  },
  {
    name: "ECN: an active open asks",
    rfc: "3168 §6.1.1",
    async run(p) {
      await p.dialled(DIAL, DIAL_PORT);
      const syn = p.all.find(seen => seen.flags.startsWith("S") && !seen.flags.includes("A"));
      return `${syn?.flags}, ${CODEPOINTS[syn?.ecn ?? 0]}`;
    },
    expected: "SEC, Not-ECT",
  },
  {
    name: "ECN: new data is ECT(0)",
    rfc: "3168 §6.1.2",
    async run(p) {
      await open(p, ECHO);
      return echoed(p);
    },
    expected: "ECT(0)",
  },
  {
    name: "ECN: without it data is not ECN-capable",
    rfc: "3168 §6.1.1",
    async run(p) {
      await p.open(ECHO);
      return echoed(p);
    },
    expected: "Not-ECT",
  },
  {
    name: "ECN: a retransmission is not ECN-capable",
    rfc: "3168 §6.1.5",
    async run(p) {
      await open(p, SOURCE);
      await p.expect("data", seen => seen.seq === 1 && seen.length > 0);
      const again = await p.expect("data again", seen => seen.seq === 1 && seen.length > 0);
      return CODEPOINTS[again.ecn] as string;
    },
    expected: "Not-ECT",
  },
  {
    name: "ECN: a mark is echoed on each ACK until CWR",
    rfc: "3168 §6.1.3",
    async run(p) {
      await open(p, SINK);
      const first = await byte(p, "PA", CE);
      const second = await byte(p, "PA");
      return `${first}; ${second}; ${await byte(p, "PAC")}`;
    },
    expected: "AE 1 ack 2; AE 1 ack 3; A 1 ack 4",
  },
  {
    name: "ECN: a mark on the segment with CWR is a new one",
    rfc: "3168 §6.1.3",
    async run(p) {
      await open(p, SINK);
      await byte(p, "PA", CE);
      return byte(p, "PAC", CE);
    },
    expected: "AE 1 ack 3",
  },
  {
    name: "ECN: a mark means nothing where it was not agreed",
    rfc: "3168 §6.1.1",
    async run(p) {
      await p.open(SINK);
      return byte(p, "PA", CE);
    },
    expected: "A 1 ack 2",
  },
  {
    name: "ECN: ECE is answered with CWR on the next new data, once",
    rfc: "3168 §6.1.2",
    async run(p) {
      await open(p, SOURCE);
      await p.receive(10 * 1460, false);
      p.send({ flags: "AE" });
      const fresh: string[] = [];
      for (let i = 0; i < 3; i++) {
        const seen = await p.expect("more data", one => one.length > 0 && one.seq === p.got);
        p.got += seen.length;
        fresh.push(seen.flags);
      }
      return fresh.join(" ");
    },
    expected: "AC A A",
  },
  {
    name: "IPv6: ECN is granted and data is ECT(0)",
    rfc: "3168 §6.1.1, §6.1.2",
    v6: true,
    async run(p) {
      return `${await open(p, ECHO)}; ${await echoed(p)}`;
    },
    expected: "SAE, Not-ECT; ECT(0)",
  },
  {
    name: "IPv6: a mark in the traffic class is echoed",
    rfc: "3168 §6.1.3, 8200 §7",
    v6: true,
    async run(p) {
      await open(p, SINK);
      return byte(p, "PA", CE);
    },
    expected: "AE 1 ack 2",
  },
];

/** More SYNs than any table holds. */
const FLOOD = 6000;

export const FLOODED: readonly Scenario[] = [
  {
    name: `a genuine client is served behind ${FLOOD} SYNs whose senders never answer`,
    rfc: "4987 §3",
    alone: true,
    async run(p) {
      for (let port = 1; port <= FLOOD; port++) {
        p.port = port;
        p.syn(SINK);
        if (port % 500 === 0) await p.fence();
      }
      p.port = 40_000;
      p.forget();
      await p.open(ECHO);
      p.write("hello");
      return tell(await p.expect("echo", seen => seen.length > 0));
    },
    expected: "A 1+5 ack 6",
  },
];
