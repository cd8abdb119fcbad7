/**
 * The states of RFC 9293 §3.3.2 and which may follow which (figure 5), in one table.
 *
 * LISTEN is a connection whose SYN has come and about which the handler has not decided yet: the stack
 * listens on every address, so a state without a peer does not exist here. CLOSED may follow every state
 * (reset, time-out, abort) and is final.
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

/** CLOSED is left out on the right: it may follow all. */
const SUCCESSORS: Readonly<Record<TcpState, readonly TcpState[]>> = {
  LISTEN: ["SYN-RECEIVED"],
  "SYN-SENT": ["ESTABLISHED", "SYN-RECEIVED"],
  "SYN-RECEIVED": ["ESTABLISHED"],
  ESTABLISHED: ["FIN-WAIT-1", "CLOSE-WAIT"],
  "FIN-WAIT-1": ["FIN-WAIT-2", "CLOSING"],
  "FIN-WAIT-2": ["TIME-WAIT"],
  "CLOSE-WAIT": ["LAST-ACK"],
  CLOSING: ["TIME-WAIT"],
  "LAST-ACK": [],
  "TIME-WAIT": [],
  CLOSED: [],
};

export function mayFollow(from: TcpState, to: TcpState): boolean {
  return to === "CLOSED" ? from !== "CLOSED" : SUCCESSORS[from].includes(to);
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
