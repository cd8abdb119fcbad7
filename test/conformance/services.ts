/** What listens where, the same on our stack and on Linux: the scenarios choose by port. */
export const ECHO = 7001;
/** Reads, says nothing, closes when the peer has. */
export const SINK = 7002;
/** Sends SOURCE_BYTES at once, and closes when the peer has. */
export const SOURCE = 7003;
/** Sends FIN at once, and goes on reading. */
export const CLOSE = 7004;
/** Never reads. */
export const HOLD = 7005;
/** Says "bye" and closes when the peer has closed. */
export const HALF = 7006;
/** Reads nothing until LATE_MS after the connection, then everything. */
export const LATE = 7007;
/** Opens a connection to the peer's DIAL_PORT. */
export const DIAL = 7008;
/** Resets when the first byte comes. */
export const RESET = 7009;
/** Sends SOURCE_BYTES and FIN right behind them. */
export const FILE = 7010;
/** Nobody is there; UDP neither. */
export const NOBODY = 7999;

export const SOURCE_BYTES = 20_000;
export const LATE_MS = 2_500;
export const DIAL_PORT = 9000;

export const SERVICE_PORTS: readonly number[] = [
  ECHO,
  SINK,
  SOURCE,
  CLOSE,
  HOLD,
  HALF,
  LATE,
  DIAL,
  RESET,
  FILE,
];
