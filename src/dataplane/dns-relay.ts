/**
 * Questions of applications to the DNS responder. What was answered before is answered here and leaves no trace; the
 * rest goes to the responder, in the daemon, over one socket for all: each question under an id of ours, the answer
 * under the application's own.
 *
 * An answer to a question that was asked before the last change of names may be from before it: the application gets
 * it, as it would have a moment earlier, but it is not kept.
 */
import { type Endpoint, type Milliseconds, writeEndpoint } from "../base/index.js";
import { EAGAIN, ECONNREFUSED, EPOLLIN, sockets } from "../linux/index.js";
import type { UdpFlow, UdpReceiver } from "../netstack/index.js";
import type { Context } from "./context.js";
import { DnsAnswers, QUESTION_MAX_BYTES } from "./dns-answers.js";
import type { Source } from "./loop.js";

const HEADER_BYTES = 12;
const MAX_DATAGRAM_BYTES = 65_535;
/** More than the responder's socket holds; who waits longer than this many questions has lost his. */
const WAITING_MAX = 1024;
/** Answers read per turn before the rest of the loop gets its share. */
const READ_BUDGET = 64;

/** A question that the responder has not answered yet. */
interface Waiting {
  flow: UdpFlow | null;
  /** As the application and as we asked it. */
  id: number;
  ourId: number;
  /** The change of names it was asked after. */
  change: number;
  /** Where its bytes are kept; 0 bytes when it is too long for an answer to be kept. */
  readonly question: number;
  length: number;
}

export class DnsRelay implements Source {
  readonly counters: { repeated: number; asked: number; unsent: number } = {
    repeated: 0,
    asked: 0,
    unsent: 0,
  };
  private readonly context: Context;
  private readonly responder: Endpoint;
  private readonly answers: DnsAnswers;
  private readonly waiting: readonly Waiting[];
  private change = 0;
  private fd = -1;

  constructor(context: Context, responder: Endpoint) {
    const { arena } = context;
    this.context = context;
    this.responder = responder;
    this.answers = new DnsAnswers(arena);
    const questions = arena.reserve(WAITING_MAX * QUESTION_MAX_BYTES);
    this.waiting = Array.from({ length: WAITING_MAX }, (_, i) => ({
      flow: null,
      id: 0,
      ourId: 0,
      change: 0,
      question: questions + i * QUESTION_MAX_BYTES,
      length: 0,
    }));
  }

  /** What was answered so far may be answered otherwise now. */
  namesChanged(): void {
    this.answers.clear();
    this.change++;
  }

  /** Answers the question at [offset, offset + length) when it was answered before. */
  repeat(flow: UdpFlow, offset: number, length: number): boolean {
    const { answers } = this;
    const answer = answers.find(offset, length);
    if (answer === -1) return false;
    this.counters.repeated++;
    flow.send(answer, answers.length, this.context.loop.now);
    return true;
  }

  /** Takes the flow's questions, from the first on, until it closes. */
  take(flow: UdpFlow, onClosed: () => void): void {
    flow.receiver = new Asker(this, flow, onClosed);
  }

  /** Asks the responder. */
  ask(flow: UdpFlow, offset: number, length: number): void {
    const { arena } = this.context;
    if (length < HEADER_BYTES) return;
    if (this.fd === -1 && !this.open()) return flow.refuse("network");
    const ourId = this.counters.asked++ & 0xffff;
    const waiting = this.waiting[ourId % WAITING_MAX] as Waiting;
    waiting.flow = flow;
    waiting.id = arena.view.getUint16(offset);
    waiting.ourId = ourId;
    waiting.change = this.change;
    waiting.length = length > QUESTION_MAX_BYTES ? 0 : length;
    arena.u8.copyWithin(waiting.question, offset, offset + waiting.length);
    arena.view.setUint16(offset, ourId);
    const result = sockets.write(arena, this.fd, offset, length);
    if (result === -ECONNREFUSED) return this.refuseAll();
    if (result >= 0) return;
    // Longer than a datagram over IPv4 may be, or no room: lost, as on any network.
    this.counters.unsent++;
    waiting.flow = null;
  }

  onReady(_events: number, now: Milliseconds): void {
    const { arena, scratchDatagram } = this.context;
    for (let i = 0; i < READ_BUDGET; i++) {
      const length = sockets.read(arena, this.fd, scratchDatagram, MAX_DATAGRAM_BYTES);
      if (length === -EAGAIN) return;
      if (length < 0) return this.refuseAll();
      if (length >= HEADER_BYTES) this.answered(scratchDatagram, length, now);
    }
  }

  private answered(offset: number, length: number, now: Milliseconds): void {
    const { view } = this.context.arena;
    const ourId = view.getUint16(offset);
    const waiting = this.waiting[ourId % WAITING_MAX] as Waiting;
    const { flow } = waiting;
    if (flow === null || waiting.ourId !== ourId) return;
    waiting.flow = null;
    view.setUint16(offset, waiting.id);
    if (waiting.change === this.change) this.answers.keep(waiting.question, waiting.length, offset, length);
    flow.send(offset, length, now);
  }

  /** Nobody listens there, which the kernel tells once and not of which question. */
  private refuseAll(): void {
    for (const waiting of this.waiting) {
      waiting.flow?.refuse("port");
      waiting.flow = null;
    }
  }

  private open(): boolean {
    const { arena, loop, scratchEndpoint } = this.context;
    writeEndpoint(arena.u8, scratchEndpoint, this.responder);
    const fd = sockets.udpConnect(arena, scratchEndpoint);
    if (fd < 0) return false;
    this.fd = fd;
    loop.add(fd, EPOLLIN, this);
    return true;
  }
}

/** One flow of questions. */
class Asker implements UdpReceiver {
  private readonly relay: DnsRelay;
  private readonly flow: UdpFlow;
  private readonly onClosed: () => void;

  constructor(relay: DnsRelay, flow: UdpFlow, onClosed: () => void) {
    this.relay = relay;
    this.flow = flow;
    this.onClosed = onClosed;
  }

  onUdpData(offset: number, length: number): void {
    const { relay, flow } = this;
    if (!relay.repeat(flow, offset, length)) relay.ask(flow, offset, length);
  }

  /** Who asked no longer listens; another question, if any, makes a new flow. */
  onUdpUnreachable(): void {
    this.flow.close();
    this.onClosed();
  }

  onUdpClosed(): void {
    this.onClosed();
  }
}
