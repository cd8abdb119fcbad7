export * from "./process.js";
export * from "./restart-delay.js";
export * from "./spawn.js";
