/**
 * Measures the tunnel from the laptop, through the data plane's socket to the agent's control API: round trips of
 * small requests on one connection, and on request a download. For the doctor; the catalog's stream goes on beside it.
 */
import { Agent, get } from "node:http";
import { PROBE_BYTES_MAX, PROBE_PATH } from "../api/index.js";

const ROUND_TRIPS = 20;
/** A lost packet is sent again after this at the earliest (RFC 6298's minimum, as the stack has it). */
const LATE_MS = 200;
const ANSWER_TIMEOUT_MS = 5_000;
const DOWNLOAD_MS = 3_000;

export interface TunnelProbe {
  /** Sorted; of those that were answered. */
  roundTripsMs: number[];
  /** Answered so much later than the others that something was lost and sent again. */
  late: number;
  /** Only when asked for. */
  throughput: { bytes: number; ms: number } | null;
}

/** An agent of before the probe. */
const NOT_FOUND = 404;

/** What was measured, why nothing could be, or null where the agent is too old for it. */
export async function probeTunnel(
  socketPath: string,
  withThroughput: boolean,
): Promise<TunnelProbe | { error: string } | null> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    // The first one pays for the connection.
    await fetchBytes(socketPath, agent, 0, ANSWER_TIMEOUT_MS);
    const times: number[] = [];
    for (let i = 0; i < ROUND_TRIPS; i++) {
      times.push((await fetchBytes(socketPath, agent, 0, ANSWER_TIMEOUT_MS)).ms);
    }
    times.sort((a, b) => a - b);
    const median = times[times.length >> 1] as number;
    return {
      roundTripsMs: times,
      late: times.filter(ms => ms > median + LATE_MS).length,
      throughput: withThroughput ? await fetchBytes(socketPath, agent, PROBE_BYTES_MAX, DOWNLOAD_MS) : null,
    };
  } catch (error) {
    return error instanceof Refusal && error.status === NOT_FOUND
      ? null
      : { error: (error as Error).message };
  } finally {
    agent.destroy();
  }
}

class Refusal extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`the agent answered ${status}`);
    this.status = status;
  }
}

/** What came within `limitMs`: of a download, as much as did. Rejects when nothing did. */
function fetchBytes(
  socketPath: string,
  agent: Agent,
  wanted: number,
  limitMs: number,
): Promise<{ bytes: number; ms: number }> {
  return new Promise((resolve, reject) => {
    const since = performance.now();
    let bytes = 0;
    const options = { socketPath, agent, path: `${PROBE_PATH}${wanted}`, headers: { host: "agent" } };
    const request = get(options, response => {
      if (response.statusCode !== 200) {
        request.destroy();
        return reject(new Refusal(response.statusCode ?? 0));
      }
      response.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
      });
      response.on("end", () => resolve({ bytes, ms: performance.now() - since }));
    });
    const timer = setTimeout(() => {
      if (wanted > 0 && bytes > 0) resolve({ bytes, ms: performance.now() - since });
      else reject(new Error("no answer through the tunnel"));
      request.destroy();
    }, limitMs);
    request.on("error", reject);
    request.on("close", () => clearTimeout(timer));
  });
}
