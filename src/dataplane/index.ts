export * from "./process.js";
export * from "./spawn.js";
