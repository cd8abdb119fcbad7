/** What a data plane may say, checked (`FromDataplane` of `api/dataplane.ts`). */
import * as z from "zod";
import type { FromDataplane } from "../api/index.js";
import { parseEndpoint } from "../base/index.js";

const count = z.number().min(0);
const text = z.string().max(1024);
const protocol = z.enum(["tcp", "udp"]);

const peer = z.object({
  publicKey: text,
  name: text.optional(),
  endpoint: text.optional(),
  lastHandshakeAt: count,
  rxBytes: count,
  txBytes: count,
  rttMs: count.optional(),
  mtu: count.optional(),
  pathMtu: z.enum(["searching", "confirmed", "unanswered"]).optional(),
});

const flow = z.object({
  protocol,
  source: text,
  destination: text,
  name: text,
  peer: text.optional(),
  state: text,
  rxBytes: count,
  txBytes: count,
  rttMs: count.optional(),
  ageMs: count,
});

const status = z.object({
  pid: count,
  uptimeMs: count,
  listenPort: count,
  crypto: text,
  offloads: z.array(text),
  peers: z.array(peer),
  flows: z.object({ tcp: count, udp: count }),
  counters: z.record(text, z.number()),
  memory: z.object({ rssBytes: count, ringBytes: count }),
  roundTrips: z.object({ counts: z.array(count), count, sumMs: count }).optional(),
});

const message = z.discriminatedUnion("type", [
  z.object({ type: z.literal("ready"), listenPort: count }),
  z.object({ type: z.literal("failed"), code: text, message: text, hint: text.optional() }),
  z.object({ type: z.literal("handshake"), publicKey: text, at: count }),
  z.object({
    type: z.literal("endpoint"),
    publicKey: text,
    endpoint: text.refine(endpoint => parseEndpoint(endpoint) !== null),
  }),
  z.object({ type: z.literal("handshake-timeout"), publicKey: text, seconds: count }),
  z.object({ type: z.literal("moved") }),
  z.object({
    type: z.literal("denied"),
    peer: text.optional(),
    name: text.optional(),
    protocol,
    destination: text,
    omitted: count,
  }),
  z.object({ type: z.literal("status"), id: count, status }),
  z.object({ type: z.literal("flows"), id: count, flows: z.array(flow) }),
  z.object({
    type: z.literal("log"),
    level: z.enum(["debug", "info", "warn", "error"]),
    message: z.string().max(8192),
    fields: z.record(z.string(), z.unknown()).optional(),
  }),
]);

/** The message in `line`, or null when it is none. */
export function parseFromDataplane(line: string): FromDataplane | null {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return null;
  }
  const result = message.safeParse(value);
  return result.success ? (result.data as FromDataplane) : null;
}
