export * from "./agent.js";
export * from "./daemon.js";
export * from "./dataplane.js";
export * from "./settings.js";
export * from "./version.js";
