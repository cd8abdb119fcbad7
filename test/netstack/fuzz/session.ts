/**
 * One connection out of a seed, brought into one of many states, and then some hundred forged packets with time,
 * reading and writing between them. The same seed gives the same session; `replay` does again what was written
 * down of one, and `reduce` leaves out of it what the failure does not need.
 */
import { Prng } from "../sim/prng.js";
import { Forge } from "./forge.js";
import { Ground, type Op, PEER_PORT, type Setup, STACK_PORT, Target } from "./target.js";

/** What is kept of a failure: a file of `reproducers/`. */
export interface Reproducer {
  about: string;
  setup: Setup;
  ops: Op[];
}

const FIN = 0x01;
const SYN = 0x02;
const ACK = 0x10;
const PACKETS = 200;
/** A connection's end leaves little to attack. */
const END_CHANCE = 0.3;
const AUDIT_EVERY = 8;

/** States that a connection under attack starts in. */
export const STATES = [
  "nothing",
  "SYN-SENT",
  "LISTEN",
  "SYN-RECEIVED",
  "ESTABLISHED",
  "sending",
  "window shut",
  "receive ring full",
  "holes",
  "FIN-WAIT-1",
  "FIN-WAIT-2",
  "CLOSE-WAIT",
  "CLOSING",
  "LAST-ACK",
  "TIME-WAIT",
] as const;
export type StateName = (typeof STATES)[number];

export interface Outcome {
  /** Packets given to the stack. */
  executions: number;
  failure: Error | null;
  target: Target;
}

export class Fuzzer {
  private ground: Ground = new Ground();

  /** @param log where the session's ops are written down */
  run(seed: number, log: Op[] | null = null): Outcome {
    const random = Prng.numbered(seed);
    const setup: Setup = {
      seed,
      family: random.chance(0.5) ? 6 : 4,
      maxGsoBytes: random.chance(0.4) ? 65_535 : 0,
      congested: random.chance(0.8),
      congestion: (["cubic", "bbr", "newreno"] as const)[random.between(0, 2)] as Setup["congestion"],
      ringBytes: random.chance(0.5) ? 20_000 : 65_536,
      attached: random.chance(0.96),
      tight: random.chance(0.2),
    };
    const target = this.targetOf(setup);
    target.log = log;
    const session = new Session(target, random);
    return this.guard(target, session, () => session.attack());
  }

  replay({ setup, ops }: Pick<Reproducer, "setup" | "ops">): Outcome {
    const target = this.targetOf(setup);
    const counter = { executions: 0 };
    return this.guard(target, counter, () => {
      for (const op of ops) {
        target.apply(op);
        if (op.op !== "packet") continue;
        counter.executions++;
        target.check();
      }
      target.dispatch();
      target.audit();
    });
  }

  private guard(target: Target, counter: { executions: number }, run: () => void): Outcome {
    let failure: Error | null = null;
    try {
      run();
      target.end();
    } catch (error) {
      failure = error as Error;
    }
    return { executions: counter.executions, failure, target };
  }

  private targetOf(setup: Setup): Target {
    if (this.ground.spent) this.ground = new Ground();
    return new Target(this.ground, setup);
  }
}

class Session {
  executions = 0;
  private readonly target: Target;
  private readonly random: Prng;
  private readonly forge: Forge;

  constructor(target: Target, random: Prng) {
    this.target = target;
    this.random = random;
    this.forge = new Forge(target, random);
  }

  attack(): void {
    const { random, target, forge } = this;
    this.enter(STATES[random.between(0, STATES.length - 1)] as StateName);
    const emit = (): void => this.emit();
    while (this.executions < PACKETS) {
      forge.make();
      if (random.chance(0.06)) forge.fragment(emit);
      else this.emit();
      if (random.chance(0.02)) this.batch();
      this.interfere();
      if (this.executions % AUDIT_EVERY === 0) {
        target.dispatch();
        target.audit();
      }
      if (target.connection?.state === "CLOSED" && random.chance(END_CHANCE)) return;
    }
  }

  private emit(trusted: boolean = this.random.chance(0.1)): void {
    const { random, target, forge } = this;
    target.packet(forge.length, trusted);
    this.executions++;
    if (random.chance(0.7)) target.dispatch();
    target.check();
  }

  /** The rest of the world goes on. */
  private interfere(): void {
    const { random, target } = this;
    const what = random.between(0, 199);
    if (what < 16) target.step(random.between(0, 50));
    else if (what < 20) target.step(random.between(0, 5000));
    else if (what < 21) target.step(random.between(0, 300_000));
    else if (what < 45) target.read();
    else if (what < 60) target.write(random.between(1, 20_000));
    else if (what < 63) target.block(random.chance(0.5));
    else if (what < 70) target.block(false);
    else if (what < 71) target.finish();
    else if (what < 72 && random.chance(0.3)) target.abort();
    else if (what < 73) target.setMtu(random.between(target.setup.family === 4 ? 576 : 1280, 1500));
  }

  // ---- into a state, by the book ----

  private enter(state: StateName): void {
    const { target } = this;
    if (state === "nothing") return;
    if (state === "SYN-SENT") {
      target.connect();
      target.dispatch();
      return;
    }
    if (state === "LISTEN") {
      // A port whose SYN nobody decides about: `Target.onTcpSyn`.
      this.send(SYN, 0, 0);
      return;
    }
    if (this.random.chance(0.3)) this.open();
    else this.accept(state === "SYN-RECEIVED");
    if (state === "SYN-RECEIVED" || state === "ESTABLISHED") return;
    this.proceed(state);
  }

  private proceed(state: StateName): void {
    const { target } = this;
    switch (state) {
      case "sending":
      case "window shut":
        target.write(20_000);
        target.dispatch();
        if (state === "window shut") this.send(ACK, 0, 0, 0);
        return;
      case "receive ring full":
        for (let i = 0; i < 60; i++) this.send(ACK, 0, 1400);
        return;
      case "holes":
        for (let i = 1; i < 8; i++) this.send(ACK, 2000 * i, 500);
        return;
      case "CLOSE-WAIT":
      case "LAST-ACK":
        this.send(FIN | ACK, 0, 0);
        if (state === "LAST-ACK") target.finish();
        target.dispatch();
        return;
      default:
        target.finish();
        target.dispatch();
        if (state === "CLOSING") this.send(FIN | ACK, 0, 0, undefined, -1);
        else if (state !== "FIN-WAIT-1") this.send(ACK, 0, 0);
        if (state === "TIME-WAIT") this.send(FIN | ACK, 0, 0);
        target.dispatch();
    }
  }

  private open(): void {
    const { target, forge, random } = this;
    target.connect();
    target.dispatch();
    const c = target.connection;
    if (c === null) return;
    forge.makeHandshake(SYN | ACK, random.uint32() | 0, c.snd.nxt, c.localPort);
    this.emit();
    target.dispatch();
  }

  private accept(half: boolean): void {
    const { target, forge, random } = this;
    forge.makeHandshake(
      SYN,
      random.chance(0.3) ? -random.between(1, 5000) : random.uint32() | 0,
      0,
      STACK_PORT,
    );
    this.emit();
    target.dispatch();
    if (!half) this.send(ACK, 0, 0);
  }

  /** Segments alike, as a tunnel brings them: those after the first repeat its headers. */
  private batch(): void {
    const { target, forge, random } = this;
    const payload = random.between(1, 1448);
    const window = random.between(1000, 0xffff);
    for (let left = random.between(2, 6); left > 0; left--) {
      const c = target.connection;
      if (c === null) return;
      forge.makePlain(ACK, c.rcv.nxt, c.snd.una, c.localPort, PEER_PORT, payload, window);
      this.emit(true);
    }
  }

  /** A segment as a good peer sends it, `ahead` of what is next. */
  private send(flags: number, ahead: number, payload: number, window?: number, ackLess = 0): void {
    const { target, forge } = this;
    const c = target.connection;
    forge.makePlain(
      flags,
      (c?.rcv.nxt ?? 0) + ahead,
      (c?.snd.nxt ?? 0) + ackLess,
      c?.localPort ?? STACK_PORT,
      flags & SYN ? PEER_PORT + 4 : PEER_PORT,
      payload,
      window,
    );
    this.emit();
  }
}

/** The ops that a failure needs: halves, quarters and so on are left out for as long as `fails` says so. */
export function reduce(ops: readonly Op[], fails: (ops: readonly Op[]) => boolean, tries: number): Op[] {
  let best = [...ops];
  let left = tries;
  for (let size = best.length >> 1; size >= 1; ) {
    let found = false;
    for (let from = 0; from < best.length && left > 0; left--) {
      const candidate = [...best.slice(0, from), ...best.slice(from + size)];
      if (fails(candidate)) {
        best = candidate;
        found = true;
      } else from += size;
    }
    if (!found || size > best.length) size >>= 1;
    if (left <= 0) break;
  }
  return best;
}
