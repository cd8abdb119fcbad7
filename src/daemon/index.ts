export { cleanUp } from "./cleanup.js";
export { type Diagnostics, gatherDiagnostics } from "./diagnostics.js";
export * from "./doctor.js";
export { gatherFacts } from "./doctor-facts.js";
export { lockHolder, StateLock } from "./lock.js";
export { performLocked, performOffline } from "./operations.js";
export { type SupervisorOptions, supervise } from "./supervisor.js";
export { makeTar } from "./tar.js";
