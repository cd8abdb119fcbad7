/**
 * The seam between loss recovery, which knows *what* was delivered or lost, and congestion control, which
 * decides *how much* may be in flight. All amounts are bytes.
 *
 * `cwnd` is a plain field because recovery governs it for the length of an episode (PRR, RFC 9937) and hands
 * it back by `onRecovered`.
 */
import type { Milliseconds } from "../../../base/index.js";
import { INITIAL_WINDOW_SEGMENTS } from "../constants.js";
import type { AckSample } from "../delivery-rate.js";

export interface CongestionControl {
  readonly name: string;
  cwnd: number;
  readonly ssthresh: number;
  /** Follows a model of the path, from `onSample` alone: recovery leaves `cwnd` to it. */
  readonly modelBased: boolean;
  /** Shortest round trip of the path as the model has it; Infinity where there is none. */
  readonly pathRtt: Milliseconds;
  /** Bytes per millisecond at which segments leave; Infinity for as fast as the window allows. */
  readonly pacingRate: number;
  /** The segment size changed or became known; the initial window follows it until something was sent. */
  setMss(mss: number): void;
  /** `bytes` were delivered outside of recovery, while the window was the limit. */
  onAck(bytes: number, now: Milliseconds, srtt: Milliseconds): void;
  /** Every ACK that delivered something or showed a loss, in recovery or not; before its `onAck`. */
  onSample(sample: AckSample): void;
  /** A loss episode begins: sets `ssthresh`. `outstanding` is RFC 5681's FlightSize. */
  onLoss(outstanding: number, now: Milliseconds): void;
  /** The episode is over, also one that a time-out began when `modelBased`. */
  onRecovered(now: Milliseconds): void;
  /** The retransmission timer fired; `first` unless it had fired for the same data before. */
  onTimeout(outstanding: number, now: Milliseconds, first: boolean): void;
  /**
   * The path marked a segment where it would have dropped it (RFC 3168 §6.1.2). The caller asks at most once a
   * round trip, and not during a loss episode.
   */
  onEcnEcho(outstanding: number, now: Milliseconds): void;
  /**
   * What the last `onLoss` or `onTimeout` answered was no loss (RFC 5682 F-RTO, RFC 3522 Eifel, DSACKs for all
   * that was sent again): everything as it was before. In place of `onRecovered`; nothing to undo does nothing.
   */
  onSpurious(): void;
  /** Nothing was in flight for a time-out (RFC 5681 §4.1). */
  onIdle(): void;
  /** The way to the peer is another one, and what is outstanding is to be sent again. */
  onPathChanged(): void;
}

/** No limit yet. Fits a small integer, and any sum with a window still does. */
export const UNLIMITED = 0x3fffffff;

/** RFC 6928 §2. */
export function initialWindow(mss: number): number {
  return Math.min(INITIAL_WINDOW_SEGMENTS * mss, Math.max(2 * mss, 14_600));
}

/** Nothing was lost, and one round trip from the initial window on teaches as much: not worth remembering. */
export function isSoonRelearnt(control: CongestionControl, mss: number): boolean {
  return control.cwnd <= 2 * initialWindow(mss) && control.ssthresh === UNLIMITED;
}

/** Round trips below this are not paced: a timer per burst would cost more than the queue that it avoids. */
export const SHORT_PATH_MS: Milliseconds = 2;
/** Nor are windows below this: they leave in one system call, and any queue takes them. */
export const SMALL_WINDOW_BYTES: number = 64 << 10;
/** A window-based sender must be able to double within a round trip, and not be held back afterwards. */
const SLOW_START_PACING = 2;
const AVOIDANCE_PACING = 1.2;

/** What spreads a window over its round trip, in bytes per millisecond. */
export function pacingRateOf(
  control: Pick<CongestionControl, "cwnd" | "ssthresh">,
  { srtt }: AckSample,
): number {
  if (srtt < SHORT_PATH_MS || control.cwnd < SMALL_WINDOW_BYTES) return Number.POSITIVE_INFINITY;
  const gain = control.cwnd < control.ssthresh / 2 ? SLOW_START_PACING : AVOIDANCE_PACING;
  return (gain * control.cwnd) / srtt;
}
