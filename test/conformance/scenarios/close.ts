/** Closing in every order: RFC 9293 §3.6 and §3.10.7.4, eighth step; RFC 1337, 6191. */
import { type Peer, tell } from "../peer.js";
import type { Scenario } from "../scenario.js";
import { CLOSE, ECHO, FILE, HALF, HOLD, RESET, SINK, SOURCE_BYTES } from "../services.js";

const isFin = (seen: { flags: string }): boolean => seen.flags.includes("F");

/** The target closes first, we second: it is left in TIME-WAIT. */
async function intoTimeWait(p: Peer, timestamps = false): Promise<void> {
  await p.open(CLOSE, { timestamps });
  await p.expect("FIN", isFin);
  p.got = 2;
  p.fin();
  await p.expect("last ACK", seen => seen.ack === 2);
  await p.fence();
  p.forget();
}

export const CLOSE_SCENARIOS: readonly Scenario[] = [
  {
    name: "our FIN is acknowledged, then answered with FIN",
    rfc: "9293 §3.6, figure 12",
    async run(p) {
      await p.open(SINK);
      p.fin();
      return tell(await p.expect("FIN", isFin));
    },
    expected: "FA 1 ack 2",
  },
  {
    name: "after the last ACK the connection is gone",
    rfc: "9293 §3.10.7.4, LAST-ACK",
    async run(p) {
      await p.open(SINK);
      p.fin();
      await p.expect("FIN", isFin);
      p.got = 2;
      p.send();
      await p.fence();
      p.forget();
      p.send();
      return p.reply();
    },
    expected: "R 2",
  },
  {
    name: "FIN is sent again when it is not acknowledged",
    rfc: "6298 §5",
    async run(p) {
      await p.open(SINK);
      p.fin();
      await p.expect("FIN", isFin);
      return tell(await p.expect("FIN again", isFin));
    },
    expected: "FA 1 ack 2",
  },
  {
    name: "the target closes first; our FIN gets the last ACK",
    rfc: "9293 §3.6",
    async run(p) {
      await p.open(CLOSE);
      const fin = await p.expect("FIN", isFin);
      p.got = 2;
      p.send();
      await p.fence();
      p.fin();
      return `${tell(fin)}; ${await p.reply()}`;
    },
    expected: "FA 1 ack 1; A 2 ack 2",
  },
  {
    name: "FIN and ACK of FIN in one segment",
    rfc: "9293 §3.6",
    async run(p) {
      await p.open(CLOSE);
      await p.expect("FIN", isFin);
      p.got = 2;
      p.fin();
      return p.reply();
    },
    expected: "A 2 ack 2",
  },
  {
    name: "simultaneous close: FIN crosses FIN",
    rfc: "9293 §3.6, figure 13",
    async run(p) {
      await p.open(CLOSE);
      await p.expect("FIN", isFin);
      // Without acknowledging theirs.
      p.fin();
      const answer = await p.expect("ACK of our FIN", seen => seen.ack === 2);
      p.got = 2;
      p.send();
      await p.fence();
      p.forget();
      p.send({ flags: "FA", seq: 1 });
      return `${answer.flags.replace("F", "")} ack ${answer.ack}; then ${await p.reply()}`;
    },
    expected: "A ack 2; then A 2 ack 2",
  },
  {
    name: "half-close: data still flows to us after our FIN",
    rfc: "9293 §3.6, case 2",
    async run(p) {
      await p.open(HALF);
      p.fin();
      const data = await p.expect("bye", seen => seen.length > 0);
      return data.payload;
    },
    expected: "bye",
  },
  {
    name: "half-close: data still flows to the target after its FIN",
    rfc: "9293 §3.10.7.4, FIN-WAIT-2",
    async run(p) {
      await p.open(CLOSE);
      await p.expect("FIN", isFin);
      p.got = 2;
      p.send();
      await p.fence();
      p.forget();
      p.write("after your FIN");
      return p.reply();
    },
    expected: "A 2 ack 15",
  },
  {
    name: "data in FIN-WAIT-1 is taken",
    rfc: "9293 §3.10.7.4, FIN-WAIT-1",
    async run(p) {
      await p.open(CLOSE);
      await p.expect("FIN", isFin);
      p.forget();
      p.write("before I acknowledge");
      const answer = await p.expect("ACK", seen => seen.ack === 21);
      return `ack ${answer.ack}`;
    },
    expected: "ack 21",
  },
  {
    name: "FIN out of order waits for the missing bytes",
    rfc: "9293 §3.10.7.4, eighth step",
    async run(p) {
      await p.open(ECHO);
      p.send({ flags: "FA", seq: 6, data: "world" });
      const early = await p.reply();
      p.send({ seq: 1, data: "hello" });
      p.next = 12;
      await p.receive(10);
      const fin = p.all.find(isFin) ?? (await p.expect("FIN", isFin));
      return `${early}; ${fin.flags} ack ${fin.ack}`;
    },
    expected: "A 1 ack 1; FA ack 12",
  },
  {
    name: "data and FIN in one segment",
    rfc: "9293 §3.10.7.4",
    async run(p) {
      await p.open(ECHO);
      p.write("last words", "FPA");
      await p.receive(10);
      const fin = p.all.find(isFin) ?? (await p.expect("FIN", isFin));
      return `ack ${fin.ack}`;
    },
    expected: "ack 12",
  },
  {
    name: "data after FIN is not taken",
    rfc: "9293 §3.10.7.4, CLOSE-WAIT",
    async run(p) {
      await p.open(HOLD);
      p.fin();
      await p.expect("ACK of FIN", seen => seen.ack === 2);
      p.send({ data: "too late" });
      await p.sleep(700);
      p.forget();
      p.send({ seq: 0 });
      return p.reply();
    },
    expected: "A 1 ack 2",
  },
  {
    name: "everything sent before FIN arrives before it",
    rfc: "9293 §3.6",
    async run(p) {
      await p.open(FILE);
      await p.receive(SOURCE_BYTES);
      const fin = p.all.find(isFin) ?? (await p.expect("FIN", isFin));
      return `FIN at ${fin.seq + fin.length}`;
    },
    expected: `FIN at ${SOURCE_BYTES + 1}`,
  },
  {
    name: "an application that aborts sends RST",
    rfc: "9293 §3.10.5",
    async run(p) {
      await p.open(RESET);
      p.write("go");
      const reset = await p.expect("RST", seen => seen.flags.includes("R"));
      return `RST ${reset.seq}`;
    },
    expected: "RST 1",
  },
  {
    name: "RST in FIN-WAIT-2 ends it",
    rfc: "9293 §3.10.7.4, second step",
    async run(p) {
      await p.open(CLOSE);
      await p.expect("FIN", isFin);
      p.got = 2;
      p.send();
      await p.fence();
      p.send({ flags: "R" });
      await p.fence();
      p.forget();
      p.send();
      return p.reply();
    },
    expected: "R 2",
  },
  {
    name: "RST in CLOSE-WAIT or LAST-ACK ends it",
    rfc: "9293 §3.10.7.4, second step",
    async run(p) {
      await p.open(SINK);
      p.fin();
      await p.expect("FIN", isFin);
      p.send({ flags: "R" });
      await p.fence();
      p.forget();
      p.send();
      return p.reply();
    },
    expected: "R 1",
  },
  {
    name: "TIME-WAIT: repeated FIN is acknowledged again",
    rfc: "9293 §3.10.7.4, TIME-WAIT",
    async run(p) {
      await intoTimeWait(p);
      p.send({ flags: "FA", seq: 1 });
      return p.reply();
    },
    expected: "A 2 ack 2",
  },
  {
    name: "TIME-WAIT: RST does not end it",
    rfc: "1337 §3",
    async run(p) {
      await intoTimeWait(p);
      p.send({ flags: "R" });
      await p.fence();
      p.send({ flags: "FA", seq: 1 });
      return p.reply();
    },
    expected: "A 2 ack 2",
    linux: {
      shows: "R 2",
      why: "1337 §3's first fix is off on Linux by default (tcp_rfc1337); 9293 §3.10.7.4 alone would close, too",
    },
  },
  {
    name: "TIME-WAIT: a SYN with a higher number opens anew",
    rfc: "9293 §3.6.1",
    async run(p) {
      await intoTimeWait(p);
      p.iss += 100_000;
      p.syn(CLOSE);
      return p.reply();
    },
    expected: "SA 0 ack 1",
  },
  {
    name: "TIME-WAIT: a SYN with a lower number does not",
    rfc: "9293 §3.10.7.4, TIME-WAIT",
    async run(p) {
      await intoTimeWait(p);
      p.send({ flags: "S", seq: -1000 });
      return p.reply();
    },
    expected: "A 2 ack 2",
  },
  {
    name: "TIME-WAIT: a SYN with a newer timestamp opens anew, whatever its number",
    rfc: "6191 §2",
    async run(p) {
      await intoTimeWait(p, true);
      p.iss -= 100_000;
      p.tsValue += 5_000;
      p.syn(CLOSE, { timestamps: true });
      return p.reply();
    },
    expected: "SA 0 ack 1",
  },
  {
    name: "TIME-WAIT: the ACK of another connection's data is answered with an ACK",
    rfc: "9293 §3.10.7.4, first step",
    async run(p) {
      await intoTimeWait(p);
      p.send({ seq: 50_000_000, data: "?" });
      return p.reply();
    },
    expected: "A 2 ack 2",
  },
];
