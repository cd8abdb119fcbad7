/**
 * Runs one scenario to its end and says what was wrong with it: bytes, segments (`Witness`), the stacks' books
 * (`auditStack`), how the connection ended, and what is left of it.
 */
import { NEVER } from "../../../src/base/index.js";
import { Stack, type StackHandler, type TcpConnection } from "../../../src/netstack/index.js";
import { auditStack } from "./books.js";
import { CLIENT_V4, CLIENT_V6, End, Pair, SERVER_V4, SERVER_V6 } from "./pair.js";
import { Prng } from "./prng.js";
import type { Scenario } from "./scenario.js";
import { ScriptedPeer } from "./scripted-peer.js";
import { SimLink } from "./sim-link.js";
import { Witness } from "./witness.js";
import { World } from "./world.js";

/** Virtual time that the worst of these links may take, and that is enough for TIME-WAIT. */
const LIMIT_MS = 60 * 60_000;
const START_MS = 1000;
/** RFC 6528 §3: of the initial sequence number. */
const TICKS_PER_MS = 250;
/** The scoreboard is gone through at each of so many moments. */
const AUDIT_EVERY = 4;
const POOL_BYTES = 16 << 20;
const PEER_PORT = 80;

/** What went wrong, or null. */
export function runScenario(scenario: Scenario): string | null {
  try {
    return scenario.peer === null ? runStacks(scenario) : runScripted(scenario);
  } catch (error) {
    if (error instanceof Breach) return error.message;
    return String((error as Error).stack);
  }
}

/** Ends a run at once, with the reason. */
class Breach extends Error {}

function watch(world: World, links: readonly SimLink[], stacks: readonly Stack[]): void {
  const witnesses = links.map(link => {
    link.witness = new Witness(link.conditions);
    return link.witness;
  });
  let moments = 0;
  world.onSettled = () => {
    for (const { failure } of witnesses) if (failure !== null) throw new Breach(failure);
    if (++moments % AUDIT_EVERY !== 0) return;
    for (const stack of stacks) {
      const wrong = auditStack(stack, world.now);
      if (wrong !== null) throw new Breach(wrong);
    }
  };
}

/** What a scenario does to the path and to the client in the middle of it. */
function scheduleEvents(scenario: Scenario, world: World, links: readonly SimLink[], client: End): void {
  const { mtuChange, pause, abortAfterMs } = scenario;
  if (mtuChange !== null) {
    world.schedule(world.now + mtuChange.afterMs, () => {
      for (const link of links) {
        if (mtuChange.at === "links") link.mtu = mtuChange.mtu;
        else link.pathMtu = mtuChange.mtu;
      }
    });
  }
  if (pause !== null) {
    world.schedule(world.now + pause.afterMs, () => {
      client.sink.paused = true;
    });
    world.schedule(world.now + pause.afterMs + pause.forMs, () => client.sink.resume());
  }
  if (abortAfterMs !== null) world.schedule(world.now + abortAfterMs, () => client.connection.abort());
}

/** When to start so that the client's numbers wrap where the scenario wants it (RFC 6528's clock decides). */
function startFor(wrapAfter: number | null, firstSequence: (startMs: number) => number): number {
  if (wrapAfter === null) return START_MS;
  const ahead = (-wrapAfter - firstSequence(START_MS)) >>> 0;
  return START_MS + ahead / TICKS_PER_MS;
}

function runStacks(scenario: Scenario): string | null {
  const { congestion, back, seed, family, link, up, down, ringBytes } = scenario;
  const make = (startMs: number): Pair =>
    new Pair({
      seed,
      family,
      link,
      ...(back === null ? {} : { back }),
      up,
      down,
      ringBytes,
      startMs,
      stack: { congestion },
    });
  const startMs = startFor(scenario.wrapAfter, at => make(at).connect().connection.snd.iss);
  const pair = make(startMs);
  const { world, client, server } = pair;
  const end = pair.connect();
  const links = [pair.clientLink, pair.serverLink];
  watch(world, links, [client, server]);
  scheduleEvents(scenario, world, links, end);
  world.run(LIMIT_MS, () => pair.done || (end.closed !== null && end.closed !== "closed"));
  const other = pair.serverEnd;
  if (scenario.abortAfterMs === null) {
    const wrong = judgeEnd("client", end, down) ?? judgeEnd("server", other, up);
    if (wrong !== null) return `${wrong}; ${describe(end)} ${describe(other)}`;
  }
  world.run(LIMIT_MS);
  if (scenario.abortAfterMs !== null) {
    // Its reset may have been lost, and the other end have nothing to ask about.
    other?.connection.abort();
    world.run(LIMIT_MS);
    if (end.closed === null || (other !== null && other.closed === null)) return "an abort was not told";
    if (end.sink.wrongAt !== -1 || (other !== null && other.sink.wrongAt !== -1)) return "wrong bytes";
  } else if (end.closed !== "closed" || other?.closed !== "closed") {
    return `closed with ${end.closed} and ${other?.closed}`;
  }
  return leftovers(world, [client, server]);
}

function describe(end: End | null): string {
  return end === null ? "no connection" : `${end.connection.state}, closed ${end.closed}`;
}

function judgeEnd(who: string, end: End | null, bytes: number): string | null {
  if (end === null) return `the ${who} never heard of it`;
  const { sink } = end;
  if (sink.wrongAt !== -1) return `wrong bytes at the ${who}, after ${sink.wrongAt}`;
  if (sink.taken !== bytes || !sink.finished) return `the ${who} got ${sink.taken} of ${bytes} bytes`;
  return null;
}

function leftovers(world: World, stacks: readonly Stack[]): string | null {
  for (const stack of stacks) {
    if (stack.connections().length !== 0) return "a connection is left";
    if (stack.pollAt() !== NEVER) return "a timer is left";
  }
  return world.pool.usedBytes === 0 ? null : `${world.pool.usedBytes} bytes of ring memory are left`;
}

/** One stack, one scripted peer. */
class Encounter implements StackHandler {
  readonly world: World;
  readonly stack: Stack;
  readonly links: readonly [SimLink, SimLink];
  readonly peer: ScriptedPeer;
  end: End | null = null;
  private readonly scenario: Scenario;

  constructor(scenario: Scenario, startMs: number) {
    const { seed, family, link, back, congestion, peer, up, down } = scenario;
    this.scenario = scenario;
    const world = new World(POOL_BYTES, startMs);
    const random = new Prng(seed);
    const { arena, pool } = world;
    this.world = world;
    this.stack = new Stack({ arena, pool, random, handler: this, options: { congestion } });
    this.links = [new SimLink(world, random, link), new SimLink(world, random, back ?? link)];
    const address = family === 4 ? SERVER_V4 : SERVER_V6;
    const remote = family === 4 ? CLIENT_V4 : CLIENT_V6;
    this.peer = new ScriptedPeer({
      world,
      link: this.links[1],
      habits: peer as NonNullable<Scenario["peer"]>,
      seed,
      address,
      port: PEER_PORT,
      remote,
      remotePort: 40_000,
      iss: scenario.wrapAfter === null ? random.uint32() : -scenario.wrapAfter >>> 0,
      send: { bytes: down, seed: 2 },
      receive: { bytes: up, seed: 1 },
    });
    SimLink.join(this.links[0], this.stack, this.links[1], this.peer);
    world.stacks.push(this.stack, this.peer);
    if (peer?.opens !== true)
      this.take(this.stack.connect(this.links[0], remote, address, PEER_PORT, world.now));
  }

  private take(connection: TcpConnection): void {
    const { up, ringBytes } = this.scenario;
    this.end = new End(this.world, connection, [1, 2], up, ringBytes);
    scheduleEvents(this.scenario, this.world, this.links, this.end);
  }

  onTcpSyn(connection: TcpConnection): void {
    this.take(connection);
    connection.accept();
  }

  onUdpFlow(): void {}

  onEcho(): "ignore" {
    return "ignore";
  }
}

function runScripted(scenario: Scenario): string | null {
  const firstSequence = (startMs: number): number =>
    new Encounter(scenario, startMs).end?.connection.snd.iss ?? 0;
  const encounter = new Encounter(scenario, startFor(scenario.wrapAfter, firstSequence));
  const { world, stack, links, peer } = encounter;
  watch(world, [links[0]], [stack]);
  world.run(LIMIT_MS, () => (encounter.end?.sink.finished === true && peer.done) || peer.failure !== null);
  const { end } = encounter;
  const wrong = peer.failure ?? judgeEnd("stack", end, scenario.down) ?? peer.checkBytes();
  if (wrong !== null) return `${wrong}; ${describe(end)}; ${peer.summary}`;
  world.run(LIMIT_MS);
  if (end?.closed !== "closed") return `closed with ${end?.closed}; ${peer.summary}`;
  return leftovers(world, [stack]);
}
