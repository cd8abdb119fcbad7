export * from "./dataplane-metrics.js";
export * from "./exposition.js";
export * from "./log.js";
export * from "./metrics-server.js";
