import t from "tap";
import { Address, type Milliseconds } from "../../src/base/index.js";
import { PeerLink } from "../../src/dataplane/peer-link.js";
import type { Tunnel } from "../../src/dataplane/tunnel.js";
import { TimerHeap } from "../../src/netstack/index.js";
import type { Peer } from "../../src/wireguard/index.js";

const DEVICE = Address.from("10.7.0.2");
const RTT_MS = 100;

t.test(
  "RFC 8899 §4.3: flows to many Services that all time out do not keep the search from its end",
  async t => {
    const timers = new TimerHeap();
    const answers: { at: Milliseconds; rest: number }[] = [];
    let now = 1_000;
    const tunnel: Pick<Tunnel, "probe" | "mtuReduced" | "now"> = {
      now,
      probe: (_peer, bytes, _source, _destination, rest) => {
        if (bytes <= 1_300) answers.push({ at: now + RTT_MS, rest });
        return "sent";
      },
      mtuReduced: () => {},
    };
    const link = new PeerLink(tunnel as Tunnel, { hasEndpoint: false } as Peer, 1420, timers);
    link.setEcho(Address.from("10.7.0.1"), DEVICE);
    // The device is somewhere else now, behind a smaller path.
    link.search.restart(now);
    for (const end = now + 2_000; now < end; now += 10) {
      while (answers[0] !== undefined && answers[0].at <= now)
        link.onEchoReply(answers.shift()?.rest ?? 0, now);
      timers.poll(now);
      if (now % 50 === 0) link.suspect(Address.from(`10.96.0.${1 + (now % 7)}`), DEVICE, now);
    }
    t.equal(link.search.answers, true);
    t.ok(link.mtu <= 1_300, `${link.mtu}`);
  },
);

t.test("a standard peer that takes nothing from our own address is asked from a flow's, at once", async t => {
  const timers = new TimerHeap();
  const own = Address.from("10.7.0.1");
  const service = Address.from("10.96.0.1");
  const asked: Address[] = [];
  const tunnel: Pick<Tunnel, "probe" | "mtuReduced" | "now"> = {
    now: 1_000,
    probe: (_peer, _bytes, source) => {
      asked.push(source);
      return "sent";
    },
    mtuReduced: () => {},
  };
  const link = new PeerLink(tunnel as Tunnel, { hasEndpoint: false } as Peer, 1420, timers);
  link.setEcho(own, DEVICE);
  link.search.restart(1_000);
  timers.poll(1_000);
  t.ok(asked.length > 0 && asked.every(source => source.equals(own)), "while it is being asked");
  asked.length = 0;
  link.suspect(service, DEVICE, 1_200);
  timers.poll(1_200);
  t.ok(asked.length > 0 && asked.every(source => source.equals(service)));
});
