/**
 * From one replica of the agent to another without losing a flow. A replica that is about to stop tells its devices;
 * the laptop then opens a second path, from another port, so that the Service in front of the replicas decides anew:
 *
 * ```
 *            ┌─ current ── replica A, draining: answers no handshake from a new place
 *   laptop ──┤
 *            └─ next ───── handshakes until a replica answers; then new flows go here, and `current` leaves:
 *                          it has its flows until they end or A does, starts nothing, and is spare afterwards
 * ```
 *
 * Both replicas know the device by the same key, so a path that has been left must not shake hands: the replica that
 * it then reached would send the new path's packets to it.
 */
import { type Milliseconds, NEVER } from "../base/index.js";
import type { Context } from "./context.js";
import type { Machine } from "./loop.js";
import type { Path } from "./path.js";

/** Current, next, and one that leaves; when another is needed the one that leaves the longest is cut off. */
export const LAPTOP_PATHS = 3;
const CHECK_MS = 250;
/** An attempt that nobody has answered by then was sent to the replica that drains, and will be again. */
const ATTEMPT_MS = 5_000;
/** Until the connection tracking of a Service has forgotten an attempt that was not answered: 30 s with Linux. */
const FORGOTTEN_MS = 35_000;

export class Handover implements Machine {
  current: Path;
  /** All of them, the spare ones too: their sockets have buffers that only root may give. */
  readonly paths: readonly Path[];
  private readonly context: Context;
  private readonly onMoved: () => void;
  private readonly attemptMs: Milliseconds;
  private next: Path | null = null;
  /** Longest first. */
  private leaving: Path[] = [];
  /** When each was last of use: the Service may remember its port. */
  private readonly triedAt: Map<Path, Milliseconds> = new Map();
  private checkAt: Milliseconds = NEVER;

  /**
   * @param paths the first one is in use
   * @param onMoved new flows go along `current` from now on
   */
  constructor(
    context: Context,
    paths: readonly [Path, ...Path[]],
    onMoved: () => void,
    attemptMs: Milliseconds = ATTEMPT_MS,
  ) {
    this.context = context;
    this.attemptMs = attemptMs;
    this.onMoved = onMoved;
    this.current = paths[0];
    this.paths = paths;
    context.loop.addMachine(this);
  }

  /** The agent at the end of the current path is about to stop. To be said again for as long as it does not. */
  move(now: Milliseconds): void {
    if (this.next !== null) return;
    const path = this.spare(now);
    if (path === null) return;
    this.triedAt.set(path, now);
    this.checkAt = Math.min(this.checkAt, now + this.attemptMs);
    path.device.mirror(this.current.device, now);
    for (const peer of path.device.peers()) path.link(peer).peer.initiate(now);
    // The session that leaves lasts from its last handshake, so it gets another one.
    for (const peer of this.current.device.peers()) {
      peer.allowInitiation();
      peer.initiate(now);
    }
    this.next = path;
  }

  /** A handshake of this path is complete. */
  onHandshake(path: Path, restored: boolean): void {
    // After a silence of its agent: whoever answered now stands in for it already.
    if (path === this.current && restored) this.abandon();
    if (path !== this.next) return;
    for (const peer of this.current.device.peers()) peer.retire();
    this.leaving.push(this.current);
    this.current = path;
    this.next = null;
    this.checkAt = this.context.loop.now + CHECK_MS;
    this.onMoved();
  }

  /** The paths that shake hands. */
  get active(): Path[] {
    return this.next === null ? [this.current] : [this.current, this.next];
  }

  poll(now: Milliseconds): void {
    if (now < this.checkAt) return;
    if (this.next !== null && now >= this.attemptEnd) this.abandon();
    const done = this.leaving.filter(
      path => path.isIdle || [...path.device.peers()].some(peer => peer.silent),
    );
    for (const path of done) this.close(path);
    this.checkAt = this.leaving.length > 0 ? now + CHECK_MS : this.next === null ? NEVER : this.attemptEnd;
  }

  pollAt(): Milliseconds {
    return this.checkAt;
  }

  private get attemptEnd(): Milliseconds {
    return (this.next === null ? NEVER : (this.triedAt.get(this.next) ?? 0)) + this.attemptMs;
  }

  private spare(now: Milliseconds): Path | null {
    const isFresh = (path: Path): boolean => now - (this.triedAt.get(path) ?? -NEVER) >= FORGOTTEN_MS;
    const spares = this.paths.filter(path => path !== this.current && !this.leaving.includes(path));
    if (spares.length > 0) return spares.find(isFresh) ?? null;
    const [oldest] = this.leaving;
    if (oldest !== undefined) this.close(oldest);
    return oldest ?? null;
  }

  private abandon(): void {
    // Not from within the device's own event.
    if (this.next !== null) this.checkAt = this.context.loop.now;
    if (this.next !== null) this.leaving.push(this.next);
    this.next = null;
  }

  /** Its flows are reset; nothing of it is left but what a later move uses again. */
  private close(path: Path): void {
    this.leaving = this.leaving.filter(each => each !== path);
    this.triedAt.set(path, this.context.loop.now);
    for (const peer of [...path.device.peers()]) path.removePeer(peer);
  }
}
