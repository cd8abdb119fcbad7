/** Opening: RFC 9293 §3.5 and §3.10.7.1–3, from both sides. */
import { findOption } from "../packet.js";
import { tell } from "../peer.js";
import type { Scenario } from "../scenario.js";
import { CLOSE, DIAL, DIAL_PORT, ECHO, NOBODY, SINK } from "../services.js";

export const HANDSHAKE: readonly Scenario[] = [
  {
    name: "SYN is answered with SYN-ACK",
    rfc: "9293 §3.5",
    async run(p) {
      p.syn(SINK);
      return p.reply();
    },
    expected: "SA 0 ack 1",
  },
  {
    name: "SYN to a port where nobody listens is reset",
    rfc: "9293 §3.10.7.1",
    async run(p) {
      p.syn(NOBODY);
      return p.reply();
    },
    expected: "RA 0 ack 1",
  },
  {
    name: "ACK to a port where nobody listens is reset with its ACK as sequence number",
    rfc: "9293 §3.10.7.1",
    async run(p) {
      p.serverPort = NOBODY;
      p.send({ flags: "A", ack: 4242 });
      return p.reply();
    },
    expected: "R 4242",
  },
  {
    name: "RST to a port where nobody listens is not answered",
    rfc: "9293 §3.10.7.1",
    async run(p) {
      p.serverPort = NOBODY;
      p.send({ flags: "R" });
      return p.reply();
    },
    expected: "silence",
  },
  {
    name: "ACK out of nowhere to a listener is reset",
    rfc: "9293 §3.10.7.2",
    async run(p) {
      p.serverPort = SINK;
      p.send({ flags: "A", ack: 4242 });
      return p.reply();
    },
    expected: "R 4242",
  },
  {
    name: "RST to a listener is not answered",
    rfc: "9293 §3.10.7.2",
    async run(p) {
      p.serverPort = SINK;
      p.send({ flags: "R" });
      return p.reply();
    },
    expected: "silence",
  },
  {
    name: "SYN with RST makes no connection",
    rfc: "9293 §3.10.7.2",
    async run(p) {
      p.serverPort = SINK;
      p.send({ flags: "SR", seq: 0 });
      return p.reply();
    },
    expected: "silence",
  },
  {
    name: "segment without flags to a listener",
    rfc: "9293 §3.10.7.2",
    async run(p) {
      p.serverPort = SINK;
      p.send({ flags: "" });
      return p.reply();
    },
    expected: "RA 0 ack 1",
    linux: {
      shows: "silence",
      why: "our stack has no listener without a peer: what is no SYN meets CLOSED, which resets (9293 §3.10.7.1); Linux is in LISTEN, which drops it",
    },
  },
  {
    name: "data on the SYN",
    rfc: "9293 §3.10.7.2",
    async run(p) {
      p.serverPort = SINK;
      p.send({ flags: "S", seq: 0, data: "early" });
      return p.reply();
    },
    expected: "SA 0 ack 1",
  },
  {
    name: "repeated SYN gets the same SYN-ACK again",
    rfc: "9293 §3.10.7.4, SYN-RECEIVED",
    async run(p) {
      p.syn(SINK);
      const first = await p.expect("SYN-ACK");
      p.syn(SINK);
      const second = await p.expect("SYN-ACK again");
      return `${tell(second)}, ${first.fields.seq === second.fields.seq ? "same" : "new"} ISS`;
    },
    expected: "SA 0 ack 1, same ISS",
  },
  {
    name: "SYN-ACK is repeated when the ACK does not come",
    rfc: "6298 §5.7",
    async run(p) {
      p.syn(SINK);
      await p.expect("SYN-ACK");
      return tell(await p.expect("SYN-ACK again"));
    },
    expected: "SA 0 ack 1",
  },
  {
    name: "SYN-RECEIVED: ACK of something never sent is reset",
    rfc: "9293 §3.10.7.4, fifth step",
    async run(p) {
      p.syn(SINK);
      await p.expect("SYN-ACK");
      p.send({ ack: 2000 });
      return p.reply();
    },
    expected: "R 2000",
  },
  {
    name: "SYN-RECEIVED: RST ends it, a later ACK is reset",
    rfc: "9293 §3.10.7.4, second step",
    async run(p) {
      p.syn(SINK);
      await p.expect("SYN-ACK");
      p.send({ flags: "R" });
      const first = await p.reply();
      p.send();
      return `${first}; ${await p.reply()}`;
    },
    expected: "silence; R 1",
  },
  {
    name: "SYN-RECEIVED: a segment beyond the window is answered with an ACK",
    rfc: "9293 §3.10.7.4, first step",
    async run(p) {
      p.syn(SINK);
      await p.expect("SYN-ACK");
      p.send({ seq: 100_000, ack: 1 });
      return p.reply();
    },
    expected: "A 1 ack 1",
  },
  {
    name: "SYN-RECEIVED: a RST beyond the window is dropped",
    rfc: "9293 §3.10.7.4, first step; 5961 §3.2",
    async run(p) {
      p.syn(SINK);
      await p.expect("SYN-ACK");
      p.send({ flags: "R", seq: 100_000 });
      const first = await p.reply();
      p.write("x");
      return `${first}; ${await p.reply()}`;
    },
    expected: "silence; A 1 ack 2",
  },
  {
    name: "SYN-RECEIVED: another SYN, in the window, does not end it",
    rfc: "9293 §3.10.7.4, fourth step; 5961 §4",
    async run(p) {
      p.syn(SINK);
      await p.expect("SYN-ACK");
      p.send({ flags: "S", seq: 500 });
      await p.fence();
      const reset = p.inbox.some(seen => seen.flags.includes("R"));
      p.write("genuine");
      await p.fence();
      const taken = p.all.some(seen => seen.ack === 8);
      return `${reset ? "reset" : "no reset"}; ${taken ? "the genuine client goes on" : "ended"}`;
    },
    expected: "no reset; the genuine client goes on",
    linux: {
      shows: "reset; ended",
      why: "9293 §3.10.7.4 returns a passive connection to LISTEN here; ours protects it from a forged SYN as 5961 §4 does the synchronized states",
    },
  },
  {
    name: "data with the third segment of the handshake is taken",
    rfc: "9293 §3.10.7.4",
    async run(p) {
      p.syn(SINK);
      await p.expect("SYN-ACK");
      p.write("hello");
      return p.reply();
    },
    expected: "A 1 ack 6",
  },
  {
    name: "FIN with the third segment of the handshake is taken",
    rfc: "9293 §3.10.7.4, eighth step",
    async run(p) {
      p.syn(ECHO);
      await p.expect("SYN-ACK");
      p.write("hi", "FA");
      const data = await p.expect("echo", seen => seen.length > 0);
      return `${data.payload}, ack ${data.ack}`;
    },
    expected: "hi, ack 4",
  },
  {
    name: "data after SYN, before the SYN-ACK is acknowledged, needs an ACK to count",
    rfc: "9293 §3.10.7.4, fifth step",
    async run(p) {
      p.syn(SINK);
      await p.expect("SYN-ACK");
      p.send({ flags: "", data: "no ack" });
      return p.reply();
    },
    expected: "silence",
  },
  {
    name: "active open: SYN-ACK is acknowledged",
    rfc: "9293 §3.10.7.3",
    async run(p) {
      await p.dialled(DIAL, DIAL_PORT);
      p.send({ flags: "SA", seq: 0 });
      p.next = 1;
      return p.reply();
    },
    expected: "A 1 ack 1",
  },
  {
    name: "active open: SYN-ACK of something never sent is reset",
    rfc: "9293 §3.10.7.3",
    async run(p) {
      await p.dialled(DIAL, DIAL_PORT);
      p.send({ flags: "SA", seq: 0, ack: 999 });
      return p.reply();
    },
    expected: "R 999",
  },
  {
    name: "active open: RST without ACK is ignored, the SYN comes again",
    rfc: "9293 §3.10.7.3",
    async run(p) {
      await p.dialled(DIAL, DIAL_PORT);
      p.send({ flags: "R", seq: 0 });
      return tell(await p.expect("SYN again"));
    },
    expected: "S 0",
  },
  {
    name: "active open: RST with a right ACK refuses it",
    rfc: "9293 §3.10.7.3",
    async run(p) {
      await p.dialled(DIAL, DIAL_PORT);
      p.send({ flags: "RA", seq: 0 });
      const first = await p.reply();
      p.send({ flags: "SA", seq: 0 });
      return `${first}; ${await p.reply()}`;
    },
    expected: "silence; R 1",
  },
  {
    name: "simultaneous open: SYN meets SYN, both ends are established",
    rfc: "9293 §3.5, figure 8",
    async run(p) {
      await p.dialled(DIAL, DIAL_PORT);
      p.send({ flags: "S", seq: 0 });
      const answer = await p.reply();
      p.send({ flags: "SA", seq: 0 });
      p.next = 1;
      await p.fence();
      p.forget();
      p.write("now");
      return `${answer}; ${await p.reply()}`;
    },
    expected: "SA 0 ack 1; A 1 ack 4",
  },
  {
    name: "active open: FIN-less ACK without SYN is reset or ignored",
    rfc: "9293 §3.10.7.3",
    async run(p) {
      await p.dialled(DIAL, DIAL_PORT);
      p.send({ flags: "A", seq: 0 });
      return p.reply();
    },
    expected: "silence",
  },
  {
    name: "two SYNs from the same address get different ISNs",
    rfc: "6528 §3",
    async run(p) {
      const first = await p.open(CLOSE);
      p.port++;
      const second = await p.open(CLOSE);
      return first.fields.seq === second.fields.seq ? "the same" : "different";
    },
    expected: "different",
  },
  {
    name: "the SYN-ACK offers an MSS of the link's MTU less 40",
    rfc: "9293 §3.7.1, 6691",
    async run(p) {
      p.syn(SINK);
      const answer = await p.expect("SYN-ACK");
      return `MSS ${findOption(answer.fields.options, 2)?.readUInt16BE(0)}`;
    },
    expected: "MSS 1460",
  },
];
