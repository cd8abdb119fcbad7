/** The shape of the agent's catalog file, field by field. What fields mean together is services-file.ts's. */
import * as z from "zod";
import { isDnsName, isLabel, isPort } from "./labels.js";
import type { Protocol } from "./service.js";
import { canonicalAddress } from "./source.js";

export interface PortSpec {
  name?: string | undefined;
  protocol: Protocol;
  port: number;
  targetPort?: number | undefined;
}

export interface EndpointSpec {
  address: string;
  hostname?: string | undefined;
  ready: boolean;
  /** By port name or number. */
  ports: Record<string, number>;
}

export interface ServiceSpec {
  /** Canonical, or "None". */
  clusterIP?: string | undefined;
  clusterIPs?: string[] | undefined;
  headless: boolean;
  externalName?: string | undefined;
  ports: PortSpec[];
  endpoints: EndpointSpec[];
}

const LABEL = "must be a Kubernetes name: lower-case letters, digits and -, at most 63";
const ADDRESS = "must be an IP address";
const DOMAIN = "must be a domain name in lower case";
const FIELDS = "must hold fields, such as ports and endpoints";

const label = z.string(LABEL).refine(isLabel, LABEL);
const portNumber = z.custom<number>(isPort, "must be a number from 1 to 65535");
const address = z
  .string(ADDRESS)
  .refine(text => canonicalAddress(text) !== null, { error: ADDRESS, abort: true })
  .transform(text => canonicalAddress(text) as string);

const protocol = z
  .string("must be TCP or UDP")
  .transform(text => text.toLowerCase())
  .refine(text => text !== "sctp", { error: "SCTP cannot be carried, only TCP and UDP", abort: true })
  .pipe(z.enum(["tcp", "udp"], "must be TCP or UDP"));

/** `80` is short for `{port: 80}`. */
const portSpec = z.preprocess(
  value => (typeof value === "number" ? { port: value } : value),
  z.strictObject(
    {
      name: label.optional(),
      protocol: protocol.default("tcp"),
      port: portNumber,
      targetPort: portNumber.optional(),
    },
    { error: notFields("must be a number, or hold port and perhaps name, protocol and targetPort") },
  ),
);

/** `10.244.1.7` is short for `{address: 10.244.1.7}`. */
const endpointSpec = z.preprocess(
  value => (typeof value === "string" ? { address: value } : value),
  z.strictObject(
    {
      address,
      hostname: label.optional(),
      ready: z.boolean("must be true or false").default(true),
      ports: z.record(z.string(), portNumber, "must map port names to numbers").default({}),
    },
    { error: notFields("must be an address, or hold address and perhaps hostname, ready and ports") },
  ),
);

const serviceSpec: z.ZodType<ServiceSpec> = z.strictObject(
  {
    clusterIP: z
      .string(ADDRESS)
      .refine(text => text === "None" || canonicalAddress(text) !== null, { error: ADDRESS, abort: true })
      .transform(text => canonicalAddress(text) ?? text)
      .optional(),
    clusterIPs: z
      .array(address, "must be a list of addresses")
      .min(1, "must not be empty")
      .max(2, "must have one address per family")
      .optional(),
    headless: z.boolean("must be true or false").default(false),
    externalName: z.string(DOMAIN).refine(isDnsName, DOMAIN).optional(),
    ports: z.array(portSpec, "must be a list").default([]),
    endpoints: z.array(endpointSpec, "must be a list").default([]),
  },
  { error: notFields(FIELDS) },
);

/** A namespace whose services are all commented out is null in YAML. */
const namespaceSpec = z.preprocess(
  value => value ?? {},
  z.record(label, serviceSpec, { error: notFields("must hold services by name") }),
);

export const fileSchema: z.ZodType<{ namespaces: Record<string, Record<string, ServiceSpec>> }> =
  z.strictObject(
    { namespaces: z.record(label, namespaceSpec, { error: notFields("must hold namespaces by name") }) },
    { error: notFields("must begin with namespaces:") },
  );

/** A message for what is no mapping at all; other issues keep theirs. */
function notFields(message: string): z.core.$ZodErrorMap {
  return issue => (issue.code === "invalid_type" ? message : undefined);
}
