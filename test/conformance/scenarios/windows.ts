/** The two windows: RFC 9293 §3.8.6, RFC 7323 §2. */
import { findOption } from "../packet.js";
import { type Peer, tell } from "../peer.js";
import type { Scenario } from "../scenario.js";
import { ECHO, HOLD, LATE, SINK, SOURCE } from "../services.js";

const MSS = 1460;

/** Sends until the window is zero; the target's last segment then says so. */
async function fill(p: Peer): Promise<void> {
  let last = p.all.at(-1)!;
  for (let round = 0; round < 50; round++) {
    const edge = last.ack + last.window;
    if (edge <= p.next) return;
    while (p.next < edge) p.write(Buffer.alloc(Math.min(edge - p.next, MSS)));
    last = await p.expect("ACK", seen => seen.ack === p.next);
  }
  throw new Error("the window never closes");
}

export const WINDOWS: readonly Scenario[] = [
  {
    name: "an unread connection's window closes",
    rfc: "9293 §3.8.6",
    async run(p) {
      await p.open(HOLD);
      await fill(p);
      return `window ${p.all.at(-1)!.window}`;
    },
    expected: "window 0",
  },
  {
    name: "a byte into a closed window is acknowledged and not taken",
    rfc: "9293 §3.8.6.1",
    async run(p) {
      await p.open(HOLD);
      await fill(p);
      p.forget();
      p.send({ data: "x" });
      const answer = await p.expect("ACK");
      return `ack ${answer.ack - p.next}, window ${answer.window}`;
    },
    expected: "ack 0, window 0",
  },
  {
    name: "an ACK counts although the window is closed",
    rfc: "9293 §3.10.7.4, first step",
    async run(p) {
      await p.open(HOLD);
      await fill(p);
      p.send({ flags: "R" });
      await p.fence();
      p.forget();
      p.send();
      return p.reply();
    },
    expected: "R 1",
  },
  {
    name: "the window opens again when the application reads",
    rfc: "9293 §3.8.6",
    async run(p) {
      await p.open(LATE);
      await fill(p);
      const update = await p.expect("window update", seen => seen.window > 0);
      return `ack ${update.ack - p.next}, ${update.window >= MSS ? "a segment or more" : "a silly window"}`;
    },
    expected: "ack 0, a segment or more",
  },
  {
    name: "a window of less than a segment is not offered",
    rfc: "9293 §3.8.6.2.2",
    async run(p) {
      await p.open(LATE);
      await fill(p);
      await p.expect("window update", seen => seen.window > 0);
      const silly = p.all.filter(seen => seen.window > 0 && seen.window < MSS && seen.ack === p.next);
      return `${silly.length} silly windows`;
    },
    expected: "0 silly windows",
  },
  {
    name: "nothing is sent beyond the peer's window",
    rfc: "9293 §3.8.6",
    async run(p) {
      await p.open(SOURCE, { window: 2500, mss: 1000 });
      await p.expect("data", seen => seen.length > 0);
      await p.replies();
      const most = Math.max(...p.all.map(seen => seen.seq + seen.length));
      return most <= 2501 ? "inside" : `up to ${most}`;
    },
    expected: "inside",
  },
  {
    name: "a closed window is probed",
    rfc: "9293 §3.8.6.1",
    async run(p) {
      await p.open(SOURCE, { window: 1000, mss: 1000 });
      await p.receive(1000, false);
      p.send({ window: 0 });
      const probe = await p.expect("probe", seen => seen.length <= 1);
      return probe.seq === 1001 && probe.length === 1 ? "one byte" : tell(probe);
    },
    expected: "A 1000 ack 1",
  },
  {
    name: "probing goes on while it is answered, further and further apart",
    rfc: "9293 §3.8.6.1",
    async run(p) {
      await p.open(SOURCE, { window: 1000, mss: 1000 });
      await p.receive(1000, false);
      p.send({ window: 0 });
      const times: number[] = [];
      for (let i = 0; i < 3; i++) {
        await p.expect("probe");
        times.push(performance.now());
        p.send({ window: 0 });
      }
      const [first, second] = [times[1]! - times[0]!, times[2]! - times[1]!];
      return second > 1.4 * first ? "further apart" : `${first} ms, then ${second} ms`;
    },
    expected: "further apart",
  },
  {
    name: "data flows again when the window opens",
    rfc: "9293 §3.8.6.1",
    async run(p) {
      await p.open(SOURCE, { window: 1000, mss: 1000 });
      await p.receive(1000, false);
      p.send({ window: 0 });
      await p.expect("probe");
      p.send({ window: 5000 });
      return tell(await p.expect("data", seen => seen.length > 1));
    },
    expected: "A 1001+1000 ack 1",
  },
  {
    name: "a segment with older sequence and ACK numbers does not change the window",
    rfc: "9293 §3.10.7.4, SND.WL1",
    async run(p) {
      await p.open(SOURCE, { window: 3000, mss: 1000 });
      await p.receive(3000, false);
      p.send({ window: 0 });
      await p.fence();
      p.forget();
      p.send({ ack: 1001, window: 60_000 });
      await p.fence();
      await p.sleep(50);
      const beyond = p.all.filter(seen => seen.length > 1 && seen.seq > 3000);
      return beyond.length === 0 ? "stays closed" : tell(beyond[0]!);
    },
    expected: "stays closed",
  },
  {
    name: "the sender avoids silly windows",
    rfc: "9293 §3.8.6.2.1",
    async run(p) {
      await p.open(SOURCE, { window: 4000, mss: 1000 });
      await p.receive(4000, false);
      p.send({ window: 100 });
      await p.fence();
      const small = p.all.filter(seen => seen.seq >= 4001 && seen.length > 0);
      return small.length === 0 ? "waits" : tell(small[0]!);
    },
    expected: "waits",
  },
  {
    name: "a SYN's window is not scaled",
    rfc: "7323 §2.2",
    async run(p) {
      // 4000 << 4 would hold all that is sent at first.
      await p.open(SOURCE, { window: 4000, scale: 4, mss: 1000 });
      return tell(await p.expect("data", seen => seen.length > 0));
    },
    expected: "A 1+1000 ack 1",
  },
  {
    name: "later windows are scaled",
    rfc: "7323 §2.3",
    async run(p) {
      await p.open(SOURCE, { window: 250, scale: 2, mss: 1000 });
      // 250 << 2 bytes: one segment at a time.
      await p.expect("data", seen => seen.length > 0);
      await p.replies();
      return `up to ${Math.max(...p.all.map(seen => seen.seq + seen.length))}`;
    },
    expected: "up to 1001",
  },
  {
    name: "scaling is not offered to who did not",
    rfc: "7323 §2.2",
    async run(p) {
      const answer = await p.open(SINK, { scale: null });
      return findOption(answer.fields.options, 3) === null ? "none" : "offered";
    },
    expected: "none",
  },
  {
    name: "scaling is offered to who did",
    rfc: "7323 §2.2",
    async run(p) {
      const answer = await p.open(SINK, { scale: 7 });
      return findOption(answer.fields.options, 3) === null ? "none" : "offered";
    },
    expected: "offered",
  },
  {
    name: "a shift above 14 counts as 14",
    rfc: "7323 §2.3",
    async run(p) {
      await p.open(SOURCE, { window: 1, scale: 15, mss: 1000 });
      await p.expect("data", seen => seen.length > 0);
      await p.replies();
      const most = Math.max(...p.all.map(seen => seen.seq + seen.length)) - 1;
      return most > 1 && most <= 1 << 14 ? "at most 2^14" : `${most} bytes`;
    },
    expected: "at most 2^14",
  },
  {
    name: "echo of 100 kB through a window that closes and opens",
    rfc: "9293 §3.8.6",
    async run(p) {
      await p.open(ECHO);
      let sent = 0;
      let got = 0;
      while (got < 100_000) {
        while (sent < 100_000 && sent - got < 20_000) {
          p.write(Buffer.alloc(1000, "e"));
          sent += 1000;
        }
        await p.receive(Math.min(1000, 100_001 - p.got));
        got = p.got - 1;
      }
      return `${p.got - 1} bytes`;
    },
    expected: "100000 bytes",
  },
];
