/** What /metrics of agent and daemon have in common: the data plane's own figures. */
import { type DataplaneStatus, type PeerStatus, ROUND_TRIP_BUCKETS_MS } from "../api/index.js";
import type { Exposition, Sample } from "./exposition.js";

/**
 * Counters that count no packet, flow or attempt that came to nothing. All others are drops: what a later
 * version counts is one until somebody looks at it.
 */
const EVENTS: ReadonlySet<string> = new Set([
  "packetsIn",
  "packetsOut",
  "fragmentsIn",
  "tcpPredicted",
  "tcpChallengeAcks",
  "tcpOutOfOrder",
  "tcpDuplicate",
  "tcpRetransmits",
  "tcpTimeouts",
  "tcpFastRecoveries",
  "tcpSpuriousTimeouts",
  "tcpSpuriousRecoveries",
  "tcpTailLossProbes",
  "tcpZeroWindowProbes",
  "tcpResetsOut",
  "tcpResetsIn",
  "initiationsSent",
  "responsesSent",
  "handshakes",
  "handshakesGivenUp",
  "sendBlocked",
  "repeated",
  "asked",
]);

/** @param dataplane null while it does not answer @param labelOf how the two sides name a peer */
export function addDataplane(
  to: Exposition,
  dataplane: DataplaneStatus | null,
  labelOf: (peer: PeerStatus) => Record<string, string>,
): void {
  to.add("gauge", "dataplane_up", "Whether the data plane answers.", dataplane === null ? 0 : 1);
  if (dataplane === null) return;
  const { peers, flows, memory, roundTrips } = dataplane;
  to.add("gauge", "flows", "Open flows.", [
    [{ protocol: "tcp" }, flows.tcp],
    [{ protocol: "udp" }, flows.udp],
  ]);
  const each = (figure: (peer: PeerStatus) => number): Sample[] =>
    peers.map(peer => [labelOf(peer), figure(peer)]);
  const received = each(peer => peer.rxBytes);
  to.add("counter", "received_bytes_total", "Bytes received through the tunnel, sealed.", received);
  const sent = each(peer => peer.txBytes);
  to.add("counter", "sent_bytes_total", "Bytes sent through the tunnel, sealed.", sent);
  to.add(
    "gauge",
    "handshake_timestamp_seconds",
    "When the last handshake was; 0 for never.",
    each(peer => peer.lastHandshakeAt / 1000),
  );
  addCounters(to, dataplane.counters);
  if (roundTrips !== undefined) {
    const bounds = ROUND_TRIP_BUCKETS_MS.map(ms => ms / 1000);
    to.addHistogram(
      "round_trip_seconds",
      "Smoothed round trip of TCP in the tunnel, by connection.",
      bounds,
      {
        ...roundTrips,
        sum: roundTrips.sumMs / 1000,
      },
    );
  }
  to.add("gauge", "memory_bytes", "Memory of the data plane.", [
    [{ kind: "resident" }, memory.rssBytes],
    [{ kind: "rings" }, memory.ringBytes],
  ]);
}

function addCounters(to: Exposition, counters: DataplaneStatus["counters"]): void {
  const handshakes = counters["wireguard.handshakes"] ?? 0;
  to.add("counter", "handshakes_total", "Handshakes that were completed.", handshakes);
  const by = (label: string, wanted: (name: string) => string | null): Sample[] =>
    Object.entries(counters).flatMap(([name, value]): Sample[] => {
      const text = wanted(name);
      return text === null ? [] : [[{ [label]: text }, value]];
    });
  const isDenial = (name: string): boolean => name.startsWith("policy.");
  const isEvent = (name: string): boolean => EVENTS.has(name.slice(name.lastIndexOf(".") + 1));
  to.add(
    "counter",
    "denied_total",
    "New flows that the policy refused.",
    by("reason", name => (isDenial(name) ? name.slice("policy.".length) : null)),
  );
  to.add(
    "counter",
    "drops_total",
    "Packets and flows that came to nothing, by the data plane's name for the reason.",
    by("reason", name => (isDenial(name) || isEvent(name) ? null : name)),
  );
  to.add(
    "counter",
    "events_total",
    "What else the data plane counts.",
    by("name", name => (isEvent(name) ? name : null)),
  );
}
