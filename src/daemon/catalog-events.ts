/**
 * What an agent may say on the catalog stream (`api/agent.ts`), checked. Names end up in the hosts file and in
 * DNS answers, so they must be DNS labels (RFC 1123 §2.1); addresses must be addresses.
 */
import { z } from "zod";
import type { CatalogEvent } from "../api/index.js";
import { Address } from "../base/index.js";

const label = z.string().regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/);
const domain = z
  .string()
  .max(253)
  .regex(/^[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?(\.[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9_])?)*$/i);
const address = z.string().refine(text => Address.parse(text) !== null);

const service = z.object({
  namespace: label,
  name: label,
  kind: z.enum(["cluster", "headless", "external"]),
  ports: z
    .array(
      z.object({
        name: label.optional(),
        protocol: z.enum(["tcp", "udp"]),
        port: z.number().int().min(1).max(65_535),
      }),
    )
    .max(1_000),
  targets: z.array(address).max(2),
  endpoints: z.array(z.object({ address, hostname: label.optional(), ready: z.boolean() })).max(10_000),
  externalName: domain.optional(),
});

const event = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("snapshot"),
    zone: domain,
    teamspace: z.string().max(253),
    agentVersion: z.string().max(64),
    services: z.array(service).max(100_000),
  }),
  z.object({ type: z.literal("upsert"), service }),
  z.object({ type: z.literal("remove"), namespace: label, name: label }),
  z.object({ type: z.literal("ping") }),
]);

/** The event in `line`, or null when it is none. */
export function parseCatalogEvent(line: string): CatalogEvent | null {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return null;
  }
  const result = event.safeParse(value);
  return result.success ? (result.data as CatalogEvent) : null;
}
