/** Delivery-rate samples (draft-ietf-ccwg-bbr §4.1), out of a sent queue and scripted times. */
import t from "tap";
import { type AckSample, DeliveryRate } from "../../src/netstack/tcp/delivery-rate.js";
import { SentEntriesPool } from "../../src/netstack/tcp/sent-entries.js";
import { SentQueue } from "../../src/netstack/tcp/sent-queue.js";

const MSS = 1000;

/** A sender that enters segments and is told of each one's delivery. */
class Sent {
  readonly queue: SentQueue = new SentQueue(new SentEntriesPool());
  readonly rate: DeliveryRate = new DeliveryRate();
  sample: AckSample | null = null;
  private nxt = 0;

  send(now: number): void {
    this.rate.onSend(this.queue.count * MSS, now);
    this.queue.now = now;
    this.queue.push(this.nxt, this.nxt + MSS, MSS);
    this.rate.stamp(this.queue, this.queue.count - 1);
    this.nxt += MSS;
  }

  /** One ACK for the `count` oldest. Returns the sample's rate. */
  ack(count: number, now: number, minRtt: number): number {
    this.rate.begin();
    for (let i = 0; i < count; i++) {
      this.rate.onDelivered(this.queue, 0);
      this.queue.shift();
    }
    const { sample } = this.rate;
    sample.minRtt = minRtt;
    this.rate.finish(count * MSS, 0, this.queue.count * MSS, now);
    this.sample = sample;
    return sample.rate;
  }
}

/** A segment per millisecond for `ms`, each acknowledged 40 ms later. */
function steady(sent: Sent, ms: number): number {
  let rate = 0;
  for (let now = 0; now < ms; now++) {
    if (now >= 40) rate = sent.ack(1, now, 40);
    sent.send(now);
  }
  return rate;
}

t.test("§4.1.2.3: in a steady flow a sample is the rate", async t => {
  t.equal(Math.round(steady(new Sent(), 200)), MSS);
});

t.test("§4.1.1: ACKs that come bunched do not raise it: the time of sending counts, too", async t => {
  const sent = new Sent();
  steady(sent, 200);
  for (let now = 200; now < 300; now++) sent.send(now);
  // Nothing came back for 100 ms; then the ACKs of 140 segments within 2 ms.
  let most = 0;
  for (let i = 0; i < 140; i++) most = Math.max(most, sent.ack(1, 300 + i / 70, 40));
  t.ok(most < 1.2 * MSS, `${most} bytes per ms`);
});

t.test("§4.1.1: a burst that leaves at once does not raise it: the time of delivery counts, too", async t => {
  const sent = new Sent();
  steady(sent, 200);
  for (let i = 0; i < 100; i++) sent.send(200);
  let most = 0;
  for (let now = 201; now < 340; now++) most = Math.max(most, sent.ack(1, now, 40));
  t.ok(most < 1.1 * MSS, `${most} bytes per ms`);
});

t.test("§4.1.2.3: an ACK sooner than the path allows was for an earlier transmission", async t => {
  const sent = new Sent();
  sent.send(0);
  t.equal(sent.ack(1, 10, 40), 0);
});

t.test(
  "§4.1.2.4: samples of an idle time are marked, until all that was sent in it is delivered",
  async t => {
    const sent = new Sent();
    sent.send(0);
    sent.rate.onAppLimited(MSS);
    sent.send(10);
    t.equal(sent.ack(1, 40, 40) > 0 && sent.sample?.appLimited, false, "it left before");
    t.equal(sent.ack(1, 50, 40) > 0 && sent.sample?.appLimited, true, "it left during it");
    sent.send(60);
    t.equal(sent.ack(1, 100, 40) > 0 && sent.sample?.appLimited, false, "it left after");
  },
);

t.test("§5.5.1: a round trip is over when something sent after its start is delivered", async t => {
  const sent = new Sent();
  const starts: number[] = [];
  for (let now = 0; now < 200; now++) {
    if (now >= 40) {
      sent.ack(1, now, 40);
      if (sent.sample?.roundStart) starts.push(now);
    }
    sent.send(now);
  }
  t.same(starts, [40, 80, 120, 160]);
});
