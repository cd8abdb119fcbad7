export * from "./hosts-file.js";
export * from "./hosts-section.js";
export { type LinkNames, ResolvedLink, type ResolvedOptions, type ResolvedStatus } from "./resolved.js";
export * from "./responder.js";
export * from "./system-resolver.js";
export * from "./zone.js";
export * from "./zone-answers.js";
