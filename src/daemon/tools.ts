/** What the CLI does itself, most of it while no daemon runs. Loads the state file's schema and the resolver's parts. */
export { cleanUp } from "./cleanup.js";
export { gatherDiagnostics } from "./diagnostics.js";
export { diagnose } from "./doctor.js";
export { gatherFacts } from "./doctor-facts.js";
export { performLocked, performOffline } from "./operations.js";
export { makeTar } from "./tar.js";
