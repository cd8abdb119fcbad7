/**
 * Judges what a peer says a service is. What passes may be written to a hosts file, a zone or a terminal.
 */
import * as z from "zod";
import { isDnsName, isLabel, isPort } from "./labels.js";
import type { Service } from "./service.js";
import { canonicalAddress } from "./source.js";

const label = z.string().refine(isLabel);
const address = z.string().refine(text => canonicalAddress(text) !== null);

const serviceSchema = z.object({
  namespace: label,
  name: label,
  kind: z.enum(["cluster", "headless", "external"]),
  ports: z.array(
    z.object({
      name: label.exactOptional(),
      protocol: z.enum(["tcp", "udp"]),
      port: z.number().refine(isPort),
      denied: z.literal(true).exactOptional(),
    }),
  ),
  targets: z.array(address),
  endpoints: z.array(
    z.object({
      address,
      hostname: label.exactOptional(),
      ready: z.boolean(),
      leaving: z.enum(["serving", "terminating"]).exactOptional(),
    }),
  ),
  externalName: z.string().refine(isDnsName).exactOptional(),
  uncarried: z.array(z.string().regex(/^\d{1,5}\/[a-z]{1,16}$/)).exactOptional(),
});

/** The service with unknown properties left out, or null when `value` is none. */
export function parseService(value: unknown): Service | null {
  const parsed = serviceSchema.safeParse(value);
  return parsed.success ? parsed.data : null;
}
