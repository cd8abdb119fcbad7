/** Runs one scenario to its end and says what was wrong with it. */
import { Pair } from "./pair.js";
import type { Scenario } from "./scenario.js";

/** Virtual time that the worst of these links may take. */
const LIMIT_MS = 30 * 60_000;

/** What went wrong, or null. */
export function runScenario(scenario: Scenario): string | null {
  try {
    return runPair(scenario);
  } catch (error) {
    return String((error as Error).stack);
  }
}

function runPair(scenario: Scenario): string | null {
  const { congestion, ...options } = scenario;
  const pair = new Pair({ ...options, stack: { congestion } });
  const end = pair.connect();
  pair.world.run(LIMIT_MS, () => pair.done);
  const server = pair.serverEnd;
  if (server === null) return "never connected";
  if (!pair.done) {
    return `stuck: ${server.sink.taken} of ${options.up} up, ${end.sink.taken} of ${options.down} down, ${
      end.connection.state
    } ${server.connection.state} closed ${end.closed} ${server.closed}`;
  }
  if (end.sink.wrongAt !== -1 || server.sink.wrongAt !== -1) return "wrong bytes";
  if (server.sink.taken !== options.up || end.sink.taken !== options.down) return "wrong length";
  pair.world.run(LIMIT_MS);
  if (end.closed !== "closed") return `client closed with ${end.closed}`;
  if (server.closed !== "closed") return `server closed with ${server.closed}`;
  if (pair.client.connections().length + pair.server.connections().length !== 0)
    return "connections are left";
  if (pair.world.pool.usedBytes !== 0) return `${pair.world.pool.usedBytes} bytes of ring memory are left`;
  if (pair.client.pollAt() !== Number.POSITIVE_INFINITY) return "a timer is left";
  return null;
}
