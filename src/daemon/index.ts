export { cleanUp } from "./cleanup.js";
export * from "./doctor.js";
export { gatherFacts } from "./doctor-facts.js";
export { lockHolder, StateLock } from "./lock.js";
export { performLocked, performOffline } from "./operations.js";
export { type SupervisorOptions, supervise } from "./supervisor.js";
