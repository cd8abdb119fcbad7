/**
 * The states of RFC 9293 §3.3.2 and what each event makes of them (figure 5), in one table. `life.ts` is what
 * happens on arrival in a state; nothing else changes one.
 *
 * LISTEN is a connection whose SYN has come and about which the handler has not decided yet: the stack
 * listens on every address, so a state without a peer does not exist here. A reset, a time-out or an abort
 * leads from every state to CLOSED, which is final, and is left out of the table.
 */
export const TCP_STATES = [
  "LISTEN",
  "SYN-SENT",
  "SYN-RECEIVED",
  "ESTABLISHED",
  "FIN-WAIT-1",
  "FIN-WAIT-2",
  "CLOSE-WAIT",
  "CLOSING",
  "LAST-ACK",
  "TIME-WAIT",
  "CLOSED",
] as const;

export type TcpState = (typeof TCP_STATES)[number];

export type TcpEvent =
  /** The handler takes a pending SYN. */
  | "accepted"
  /** The peer's SYN, without an ACK, crosses ours (§3.5, figure 7). */
  | "syn"
  | "syn-acked"
  /** Our FIN leaves; is acknowledged. */
  | "fin-sent"
  | "fin-acked"
  /** The peer's FIN, and everything before it, has arrived. */
  | "fin";

const TRANSITIONS: Readonly<Record<TcpState, Readonly<Partial<Record<TcpEvent, TcpState>>>>> = {
  LISTEN: { accepted: "SYN-RECEIVED" },
  "SYN-SENT": { syn: "SYN-RECEIVED", "syn-acked": "ESTABLISHED" },
  "SYN-RECEIVED": { "syn-acked": "ESTABLISHED" },
  ESTABLISHED: { "fin-sent": "FIN-WAIT-1", fin: "CLOSE-WAIT" },
  "FIN-WAIT-1": { "fin-acked": "FIN-WAIT-2", fin: "CLOSING" },
  "FIN-WAIT-2": { fin: "TIME-WAIT" },
  "CLOSE-WAIT": { "fin-sent": "LAST-ACK" },
  CLOSING: { "fin-acked": "TIME-WAIT" },
  "LAST-ACK": { "fin-acked": "CLOSED" },
  "TIME-WAIT": {},
  CLOSED: {},
};

/** Undefined when the event means nothing in this state: it is old news there. */
export function nextState(state: TcpState, event: TcpEvent): TcpState | undefined {
  return TRANSITIONS[state][event];
}

/** Both sequence spaces are known and agreed (RFC 9293 §3.5.2). */
export function isSynchronized(state: TcpState): boolean {
  return state !== "LISTEN" && state !== "SYN-SENT" && state !== "SYN-RECEIVED" && state !== "CLOSED";
}

/** The peer has not sent its FIN: its bytes are taken (RFC 9293 §3.10.7.4, seventh step). */
export function mayReceive(state: TcpState): boolean {
  return state === "ESTABLISHED" || state === "FIN-WAIT-1" || state === "FIN-WAIT-2";
}

/** Our FIN has not been sent: new bytes may follow. */
export function maySend(state: TcpState): boolean {
  return state === "ESTABLISHED" || state === "CLOSE-WAIT";
}
