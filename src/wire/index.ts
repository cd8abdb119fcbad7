export * from "./checksum.js";
export * from "./icmp.js";
export * from "./ipv4.js";
export * from "./ipv6.js";
export * from "./protocol.js";
export * from "./tcp.js";
export * from "./udp.js";
