export * from "./clock.js";
export { endLease, setNonBlocking, tryLease, tryLock, unlock } from "./descriptor.js";
export * from "./epoll.js";
export { errnoOf, type SystemCause } from "./errors.js";
export {
  EACCES,
  EAGAIN,
  ECONNREFUSED,
  EHOSTUNREACH,
  EINVAL,
  EIO,
  EMSGSIZE,
  ENETUNREACH,
  ENOBUFS,
  EPERM,
  EPIPE,
  ETIMEDOUT,
} from "./ffi.js";
export * from "./file-lock.js";
export * from "./links.js";
export * from "./memory.js";
export * from "./monitor.js";
export { kernelPathMtu } from "./path-mtu.js";
export * from "./placement.js";
export * from "./privilege.js";
export * from "./routes.js";
export * from "./rules.js";
export * from "./scheduler.js";
export * from "./socket.js";
export * from "./tun.js";
export * from "./udp.js";
export * from "./virtio.js";
