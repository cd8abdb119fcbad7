/** The daemon as `czctl status` and `czctl up` tell of it. */
import { type DaemonStatus, packageVersion, type UpSummary } from "../api/index.js";
import { isDenied, type PlacedService, type VirtualAddresses } from "../catalog/index.js";
import type { ResolvedStatus } from "../dns/index.js";
import type { Device } from "./device.js";
import type { Session } from "./session.js";

/** What there is to tell of. */
export interface DaemonParts {
  supervisorPid: number;
  startedAt: number;
  session: Session;
  device: Device;
  virtual: VirtualAddresses;
  placed: readonly PlacedService[];
  warnings: string[];
  hostsFile: string;
  resolved: ResolvedStatus;
}

export async function daemonStatus(parts: DaemonParts): Promise<DaemonStatus> {
  const { session, device, virtual } = parts;
  const { name, range, ula, mtu } = device;
  return {
    version: packageVersion(),
    pid: process.pid,
    supervisorPid: parts.supervisorPid,
    uptimeMs: Math.round(performance.now() - parts.startedAt),
    space: session.space.name,
    teamspace: session.teamspace?.teamspace ?? null,
    agentVersion: session.teamspace?.agentVersion ?? null,
    endpoint: session.endpoint,
    link: session.link,
    problem: session.problem,
    warnings: parts.warnings,
    device: {
      name,
      addresses: [virtual.device.v4.toString(), virtual.device.v6.toString()],
      ranges: [range.toString(), ula.toString()],
      mtu,
    },
    hostsFile: parts.hostsFile,
    dns: [virtual.dns.v4.toString(), virtual.dns.v6.toString()],
    resolved: parts.resolved,
    zone: session.space.credential.zone,
    primaryNamespace: session.space.primaryNamespace,
    services: counts(parts),
    dataplaneRestarts: session.restarts,
    dataplane: await session.status(),
  };
}

export function upSummary(parts: DaemonParts): UpSummary {
  const { session, device } = parts;
  return {
    space: session.space.name,
    teamspace: session.teamspace?.teamspace ?? session.space.name,
    endpoint: session.endpoint,
    device: device.name,
    ranges: [device.range.toString(), device.ula.toString()],
    services: counts(parts),
    warnings: parts.warnings,
    tookMs: Math.round(performance.now() - parts.startedAt),
  };
}

function counts({ session, placed }: DaemonParts): DaemonStatus["services"] {
  const { services } = session.catalog;
  return {
    known: services.length,
    consumed: placed.filter(({ service }) => !isDenied(service)).length,
    denied: services.filter(service => isDenied(service)).length,
  };
}
