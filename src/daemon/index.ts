/** The lock and the supervisor, which `czctl up` waits for; everything else is loaded by who needs it. */
export type { Diagnostics } from "./diagnostics.js";
export type { Facts, Finding } from "./doctor.js";
export { lockHolder, StateLock } from "./lock.js";
export { type SupervisorOptions, supervise } from "./supervisor.js";

export const loadTools = (): Promise<typeof import("./tools.js")> => import("./tools.js");
