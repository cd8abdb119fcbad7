export { Counters } from "./counters.js";
export type {
  ChecksumMode,
  Link,
  PathObserver,
  StackHandler,
  TcpCloseReason,
  TcpUser,
  UdpReceiver,
  Unreachable,
} from "./link.js";
export { DEFAULT_STACK_OPTIONS, type StackOptions } from "./options.js";
export { Stack, type StackConfig } from "./stack.js";
export { TcpConnection } from "./tcp/connection.js";
export type { TcpState } from "./tcp/states.js";
export { type Timed, TimerHeap } from "./timer-heap.js";
export { UdpFlow } from "./udp.js";
