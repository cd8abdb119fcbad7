export { cleanUp } from "./cleanup.js";
export { lockHolder, StateLock } from "./lock.js";
export { performLocked, performOffline } from "./operations.js";
export { type SupervisorOptions, supervise } from "./supervisor.js";
