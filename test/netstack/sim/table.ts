/**
 * What one download makes of a path: goodput as a share of what the link allows, by round trip time and random
 * loss. The link carries 100 Mbit/s both ways, loses in both, and queues a bandwidth-delay product (at least
 * MIN_QUEUE_BYTES). Measured from WARM_UP_MS on, so that a slow start which fills a 200 ms path in two seconds
 * is not held against what follows.
 */
import type { StackOptions } from "../../../src/netstack/index.js";
import { Pair } from "./pair.js";
import { PERFECT } from "./sim-link.js";

export type Congestion = StackOptions["congestion"];

export const RTTS_MS: readonly number[] = [1, 5, 20, 50, 100, 200];
export const LOSSES: readonly number[] = [0, 0.001, 0.01, 0.03];
export const CONGESTION_CONTROLS: readonly Congestion[] = ["cubic", "bbr", "newreno"];

const BYTES_PER_MS = 12_500;
const MTU = 1420;
/** IPv4, TCP and timestamps. */
const HEADER_BYTES = 52;
const MIN_QUEUE_BYTES = 128 << 10;
const WARM_UP_MS = 5000;
/** CUBIC takes up to 15 s from one full queue to the next on the longest of these paths. */
const MEASURED_MS = 30_000;
const RING_BYTES = 256 << 10;

export interface Cell {
  congestion: Congestion;
  rttMs: number;
  loss: number;
  /** Payload delivered, as a part of the link's rate less headers. */
  share: number;
  /** Virtual time from the SYN to the first full second at 90 % of the link; null when there was none. */
  filledAfterMs: number | null;
}

export function measureCell(congestion: Congestion, rttMs: number, loss: number): Cell {
  const pair = new Pair({
    seed: 1,
    link: {
      ...PERFECT,
      mtu: MTU,
      delayMs: rttMs / 2,
      bytesPerMs: BYTES_PER_MS,
      queueBytes: Math.max(BYTES_PER_MS * rttMs, MIN_QUEUE_BYTES),
      loss,
    },
    down: 2 * BYTES_PER_MS * (WARM_UP_MS + MEASURED_MS),
    ringBytes: RING_BYTES,
    stack: { congestion },
  });
  const { sink } = pair.connect();
  const allowed = (BYTES_PER_MS * (MTU - HEADER_BYTES)) / MTU;
  let filledAfterMs: number | null = null;
  let atWarm = 0;
  for (let elapsed = 0; elapsed < WARM_UP_MS + MEASURED_MS; elapsed += 1000) {
    if (elapsed === WARM_UP_MS) atWarm = sink.taken;
    const before = sink.taken;
    pair.world.run(1000);
    if (filledAfterMs === null && sink.taken - before >= 900 * allowed) filledAfterMs = elapsed;
  }
  if (sink.wrongAt !== -1)
    throw new Error(`wrong bytes at ${sink.wrongAt}: ${congestion} ${rttMs} ms ${loss}`);
  const share = Number(((sink.taken - atWarm) / (allowed * MEASURED_MS)).toFixed(4));
  return { congestion, rttMs, loss, share, filledAfterMs };
}

/** Lines for people: a block per congestion control, round trip times down, losses across. */
export function tableLines(cells: readonly Cell[]): string[] {
  const lines: string[] = [];
  for (const congestion of CONGESTION_CONTROLS) {
    const own = cells.filter(cell => cell.congestion === congestion);
    if (own.length === 0) continue;
    lines.push(
      `${congestion.padEnd(12)}${LOSSES.map(loss => `${100 * loss} % loss`.padStart(12)).join("")}   link filled after`,
    );
    for (const rttMs of RTTS_MS) {
      const row = own.filter(cell => cell.rttMs === rttMs);
      const shares = row.map(cell => `${(100 * cell.share).toFixed(1)} %`.padStart(12)).join("");
      const filled = row[0]?.filledAfterMs ?? null;
      lines.push(
        `  ${`${rttMs} ms`.padEnd(10)}${shares}   ${filled === null ? "never" : `${filled / 1000} s`}`,
      );
    }
  }
  return lines;
}
