/**
 * TAI64N timestamps of initiations (paper §5.1, §5.4.2): 8 bytes of seconds and 4 of nanoseconds, big endian.
 *
 * The low 24 bits of the nanoseconds are cleared, so that the clock's fine detail is not told to the peer.
 */
import { TIMESTAMP_BYTES } from "./constants.js";

/** 2^62 and the ten leap seconds of 1972, as TAI64 counts. */
const BASE_HIGH = 0x4000_0000;
const BASE_LOW = 10;
const WHITENED = 1 << 24;

/** Makes timestamps that always increase, even when the wall clock is set back. */
export class TimestampSource {
  private readonly wallClock: () => number;
  private seconds = 0;
  private nanoseconds = -1;

  /** @param wallClock milliseconds since the epoch */
  constructor(wallClock: () => number) {
    this.wallClock = wallClock;
  }

  next(): Uint8Array {
    const millis = Math.max(0, this.wallClock());
    const seconds = Math.floor(millis / 1000);
    const nanoseconds = Math.floor((millis - seconds * 1000) * 1e6) & ~(WHITENED - 1);
    if (seconds > this.seconds || (seconds === this.seconds && nanoseconds > this.nanoseconds)) {
      this.seconds = seconds;
      this.nanoseconds = nanoseconds;
    } else {
      this.nanoseconds += WHITENED;
      if (this.nanoseconds >= 1e9) {
        this.seconds++;
        this.nanoseconds = 0;
      }
    }
    return encodeTimestamp(this.seconds, this.nanoseconds);
  }
}

export function encodeTimestamp(unixSeconds: number, nanoseconds: number): Uint8Array {
  const bytes = new Uint8Array(TIMESTAMP_BYTES);
  const view = new DataView(bytes.buffer);
  const low = unixSeconds + BASE_LOW;
  view.setUint32(0, BASE_HIGH + Math.floor(low / 0x1_0000_0000));
  view.setUint32(4, low % 0x1_0000_0000);
  view.setUint32(8, nanoseconds);
  return bytes;
}

/** Whether `a` is later than `b`. */
export function isLater(a: Uint8Array, b: Uint8Array): boolean {
  for (let i = 0; i < TIMESTAMP_BYTES; i++) {
    const difference = (a[i] as number) - (b[i] as number);
    if (difference !== 0) return difference > 0;
  }
  return false;
}
