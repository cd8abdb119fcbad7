/**
 * Who may reach what. Each device's rules are a grant; devices with equal rules share one. The same rules
 * decide what a device sees in its catalog and what the data plane dials for it, so neither can say more than
 * the other.
 */
import { CzctlError } from "../base/index.js";
import { grantName, markDenied, parseGrant, type Rule, restrictService } from "../catalog/index.js";
import { CatalogView, type Teamspace } from "./catalog-view.js";
import type { Policy } from "./policy-file.js";
import type { PeerRecord } from "./state.js";
import type { Exposed, ExposedService } from "./target-addresses.js";

/** What one grant allows, and whether its devices are told of what it does not. */
export interface Grant {
  readonly rules: readonly Rule[];
  readonly showDenied: boolean;
}

/** By name; equal grants have equal names. */
export type Grants = ReadonlyMap<string, Grant>;

/** A device as the running agent knows it. */
export interface Device {
  readonly record: PeerRecord;
  readonly grant: string;
}

/** Devices by public key, and their grants. Throws CzctlError (config) on a rule that is none. */
export function readDevices(
  peers: readonly PeerRecord[],
  policy: Policy | null = null,
): { devices: Map<string, Device>; grants: Grants } {
  const grants = new Map<string, Grant>();
  // Without a policy there is nobody to ask for more: what an invitation leaves out is not there.
  const showDenied = policy?.showDenied ?? false;
  const devices = new Map<string, Device>();
  // Ten thousand devices usually have a handful of different rules.
  const nameOf = new Map<string, string>();
  for (const record of peers) {
    const { name, user, groups } = record;
    const text = JSON.stringify(policy === null ? record.allow : [name, user, groups, record.allow]);
    let grant = nameOf.get(text);
    if (grant === undefined) {
      const rules = rulesOf(record, policy);
      grant = `${showDenied ? "?" : ""}${grantName(rules)}`;
      nameOf.set(text, grant);
      grants.set(grant, { rules, showDenied });
    }
    devices.set(record.publicKey, { record, grant });
  }
  return { devices, grants };
}

/** Without a policy, no rules of its own grant a device everything; under one, they grant it nothing. */
function rulesOf(record: PeerRecord, policy: Policy | null): Rule[] {
  if (policy === null) return parseAllow(record);
  return [...(record.allow.length === 0 ? [] : parseAllow(record)), ...policy.rulesFor(record)];
}

function parseAllow(record: PeerRecord): Rule[] {
  try {
    return parseGrant(record.allow);
  } catch (cause) {
    throw new CzctlError(`peers.json: device ${record.name}: ${(cause as Error).message}`, {
      code: "AGENT_STATE_CORRUPT",
      category: "config",
      hint: "Revoke the device and invite it again.",
      cause,
    });
  }
}

const NOTHING: Grant = { rules: [], showDenied: false };

export function sameGrants(a: Grants, b: Grants): boolean {
  return a.size === b.size && [...a.keys()].every(name => b.has(name));
}

/** The catalog under the grants: what the data plane is told, and what devices are told. Immutable. */
export class Exposure {
  readonly exposed: Exposed;
  readonly #grants: Grants;
  readonly #teamspace: Teamspace;
  /** Made when a device of the grant first asks. */
  readonly #views: Map<string, CatalogView>;

  constructor(exposed: Exposed, grants: Grants, teamspace: Teamspace) {
    this.exposed = exposed;
    this.#grants = grants;
    this.#teamspace = teamspace;
    this.#views = new Map();
  }

  /** The `targets` message. */
  message(): { type: "targets"; targets: Exposed["targets"]; grants: Record<string, number[]> } {
    const grants: Record<string, number[]> = {};
    for (const [name, { rules }] of this.#grants) grants[name] = this.#indexes(rules);
    return { type: "targets", targets: this.exposed.targets, grants };
  }

  view(grant: string): CatalogView {
    let view = this.#views.get(grant);
    if (view === undefined) {
      const { rules, showDenied } = this.#grants.get(grant) ?? NOTHING;
      const seen = showDenied ? markDenied : restrictService;
      const services = this.exposed.services.flatMap(({ service }) => seen(rules, service) ?? []);
      view = new CatalogView(this.#teamspace, services);
      this.#views.set(grant, view);
    }
    return view;
  }

  #indexes(rules: readonly Rule[]): number[] {
    const indexes = new Set<number>();
    for (const exposed of this.exposed.services) {
      for (const index of allowedTargets(exposed, rules)) indexes.add(index);
    }
    return [...indexes];
  }
}

function allowedTargets({ service, targets }: ExposedService, rules: readonly Rule[]): number[] {
  const ports = restrictService(rules, service)?.ports ?? [];
  return targets
    .filter(target => ports.some(port => port.protocol === target.protocol && port.port === target.port))
    .map(target => target.index);
}
