/** Why a datagram was dropped: negative results of `Device.next`, and the names they are counted by. */
export const Drop = {
  /** Wrong length, or an inner packet that is no IP packet. */
  malformed: -1,
  unknownType: -2,
  /** No session or handshake of ours has that index. */
  unknownIndex: -3,
  /** Past REJECT_AFTER_TIME or REJECT_AFTER_MESSAGES. */
  expired: -4,
  /** The tag is wrong: forged, or corrupted on the way. */
  unauthentic: -5,
  /** Its counter or timestamp was seen before. */
  replayed: -6,
  /** The inner source address is not among the peer's allowed IPs. */
  notAllowed: -7,
  /** The sender of a handshake message does not know our key. */
  badMac1: -8,
  /** A true initiation by a key that is no peer's. */
  unknownPeer: -9,
  /** An initiation too close to the one before it. */
  tooSoon: -10,
  /** Under load: answered with a cookie. */
  cookieSent: -11,
  /** Under load: too many handshake messages, from one source or in all. */
  rateLimited: -12,
  /** An initiation from somewhere new while this end drains. */
  draining: -13,
} as const;

export type DropReason = (typeof Drop)[keyof typeof Drop];

const NAMES: readonly string[] = Object.keys(Drop);

const COUNTERS: readonly string[] = NAMES.map(name => `dropped.${name}`);

/** Name of a negative result of `Device.next`. */
export function dropReasonName(reason: number): string {
  return NAMES[-reason - 1] ?? "unknown";
}

/** The counter of a negative result. */
export function dropCounter(reason: number): string {
  return COUNTERS[-reason - 1] ?? "dropped.unknown";
}

/** What a device counts beside the peers' own figures; drops as `dropped.<reason>`. */
export type DeviceCounters = Record<string, number>;

/** All counters are there from the start. */
export function createCounters(): DeviceCounters {
  return {
    ...Object.fromEntries(COUNTERS.map(name => [name, 0])),
    stagedDropped: 0,
    initiationsSent: 0,
    responsesSent: 0,
    handshakes: 0,
    handshakesGivenUp: 0,
  };
}

export function count(counters: DeviceCounters, name: string, by: number = 1): void {
  counters[name] = (counters[name] ?? 0) + by;
}
