/**
 * `czctl doctor`: judges facts about this machine and names the true cause of what does not work. Looking is
 * apart (`doctor-facts.ts`), so that a table of broken machines can test the judgement.
 */
import type { DaemonStatus, Problem } from "../api/index.js";
import { classifyResolver, type ResolverEnvironment, resolverAdvice } from "../dns/index.js";

import type { TunnelProbe } from "./tunnel-probe.js";

export interface Facts {
  root: boolean;
  /** Null: /dev/net/tun can be opened; else why not (errno's name). */
  tunError: string | null;
  /** Number of spaces, or why the state cannot be read. */
  spaces: number | Problem;
  /** What the daemon says; null: none runs. */
  daemon: DaemonStatus | Problem | null;
  /** Why `up` would find no range, asked while no daemon runs. */
  rangeProblem: Problem | null;
  /** Our devices in this namespace. */
  devices: string[];
  resolver: ResolverEnvironment;
  hosts: { path: string; text: string | null; writeError: string | null; backup: boolean };
  staleSockets: string[];
  /** Null when there is no tunnel to measure, or no permission. */
  probe: TunnelProbe | { error: string } | null;
  /** Ms since the epoch. */
  now: number;
}

export interface Finding {
  check: string;
  level: "ok" | "warning" | "problem";
  text: string;
  /** What to do. */
  hint?: string;
}

/** WireGuard's REJECT_AFTER_TIME: older than this there is no session. */
const SESSION_MS = 180_000;
const MARKERS = ["# CODEZERO", "# /CODEZERO"] as const;

export function diagnose(facts: Facts): Finding[] {
  const running = facts.daemon !== null && "pid" in facts.daemon ? facts.daemon : null;
  return [
    privilege(facts),
    tun(facts),
    spaces(facts),
    daemon(facts),
    ...(running === null
      ? []
      : [
          agent(running),
          ...handshake(running, facts.now),
          ...roundTrip(facts),
          ...throughput(facts),
          ...pathMtu(running),
          offloads(running),
          dataplane(running),
        ]),
    range(facts, running),
    resolver(facts, running),
    hostsFile(facts, running),
    remains(facts),
  ];
}

const ok = (check: string, text: string): Finding => ({ check, level: "ok", text });
const warning = (check: string, text: string, hint: string): Finding => ({
  check,
  level: "warning",
  text,
  hint,
});
const problem = (check: string, text: string, hint: string): Finding => ({
  check,
  level: "problem",
  text,
  hint,
});
const fromProblem = (check: string, { message, hint }: Problem): Finding =>
  problem(check, message, hint ?? "See `czctl logs`.");

function privilege({ root }: Facts): Finding {
  if (root) return ok("privilege", "root");
  return warning(
    "privilege",
    "not root: some things cannot be looked at",
    "Run it with sudo for the whole picture.",
  );
}

function tun({ tunError, root }: Facts): Finding {
  if (tunError === null) return ok("TUN device", "/dev/net/tun can be opened");
  if (tunError === "ENOENT" || tunError === "ENODEV" || tunError === "ENXIO") {
    return problem("TUN device", "this kernel offers no TUN devices", "Load the module: sudo modprobe tun");
  }
  if (!root) return ok("TUN device", "/dev/net/tun is there (root may open it)");
  return problem(
    "TUN device",
    `/dev/net/tun cannot be opened: ${tunError}`,
    "In a container, give it the device.",
  );
}

function spaces({ spaces: found }: Facts): Finding {
  if (typeof found !== "number") return fromProblem("spaces", found);
  if (found === 0)
    return problem("spaces", "there is no space yet", "Add one with `sudo czctl space add FILE`.");
  return ok("spaces", `${found}`);
}

function daemon({ daemon: found }: Facts): Finding {
  if (found === null) return warning("daemon", "czctl is not running", "Start it with `sudo czctl up`.");
  if (!("pid" in found)) return fromProblem("daemon", found);
  return ok("daemon", `runs (process ${found.pid}), czctl ${found.version}`);
}

function agent({ link, problem: found, endpoint, agentVersion }: DaemonStatus): Finding {
  if (found !== null) return fromProblem("agent", found);
  if (link === "connected") return ok("agent", `connected to ${endpoint}, czctl ${agentVersion ?? "?"}`);
  return warning("agent", `connecting to ${endpoint}`, "Wait a moment and look again.");
}

function handshake({ dataplane: found, link }: DaemonStatus, now: number): Finding[] {
  const peer = found?.peers[0];
  if (peer === undefined) return [];
  if (peer.lastHandshakeAt === 0) {
    return [
      problem("handshake", "there has been none", "See the agent's line: UDP blocked, or a wrong key."),
    ];
  }
  const ageMs = now - peer.lastHandshakeAt;
  if (ageMs < -1_000) {
    return [
      problem("handshake", "the last one is in the future: the clock was set back", "Set the clock right."),
    ];
  }
  if (ageMs > SESSION_MS || link !== "connected") {
    const age = `${Math.round(ageMs / 1000)} s ago`;
    return ageMs > SESSION_MS
      ? [
          problem(
            "handshake",
            `the last one was ${age}`,
            "The agent or the way to it is gone; see the agent's line.",
          ),
        ]
      : [ok("handshake", age)];
  }
  const rtt = peer.rttMs === undefined ? "" : `, round trip ${peer.rttMs.toFixed(1)} ms`;
  return [ok("handshake", `${Math.round(ageMs / 1000)} s ago${rtt}`)];
}

/** Some late ones are the network's daily life; more are worth a look. */
const LATE_MAX = 1;

function roundTrip({ probe }: Facts): Finding[] {
  if (probe === null) return [];
  if ("error" in probe) {
    return [
      problem("round trip", probe.error, "The tunnel stands but carries nothing: see the agent's line."),
    ];
  }
  const { roundTripsMs: times, late } = probe;
  const at = (share: number): string => (times[Math.floor((times.length - 1) * share)] ?? 0).toFixed(1);
  const text = `${at(0.5)} ms (${at(0)} to ${at(1)} in ${times.length})`;
  if (late <= LATE_MAX)
    return [ok("round trip", late === 0 ? `${text}, nothing lost` : `${text}, 1 lost and sent again`)];
  return [
    warning(
      "round trip",
      `${text}, ${late} of ${times.length} lost and sent again`,
      "The network between here and the agent loses packets: try another one, or a cable.",
    ),
  ];
}

function throughput({ probe }: Facts): Finding[] {
  if (probe === null || "error" in probe || probe.throughput === null) return [];
  const { bytes, ms } = probe.throughput;
  return [
    ok("throughput", `${((bytes * 8) / ms / 1000).toFixed(0)} Mbit/s down, ${Math.round(ms)} ms of it`),
  ];
}

/** Less than this is a path through another tunnel at least. */
const USUAL_MTU = 1_280;

function pathMtu({ dataplane: found, link }: DaemonStatus): Finding[] {
  const peer = found?.peers[0];
  if (peer?.mtu === undefined || link !== "connected") return [];
  const text = `packets of ${peer.mtu} bytes`;
  if (peer.pathMtu === "unanswered") {
    return [
      warning(
        "path MTU",
        `${text}; whether larger ones pass is not known: the other end answers no probes`,
        "Nothing, as long as transfers do not stall.",
      ),
    ];
  }
  if (peer.mtu < USUAL_MTU) {
    return [
      warning(
        "path MTU",
        `only ${text} pass, so transfers are slower`,
        "A VPN or a mobile network in between: raise its MTU if you can.",
      ),
    ];
  }
  return [
    ok("path MTU", `${text} pass${peer.pathMtu === "searching" ? ", larger ones are being tried" : ""}`),
  ];
}

function offloads({ dataplane: found }: DaemonStatus): Finding {
  const missing = ["gso", "gro", "tso"].filter(name => found !== null && !found.offloads.includes(name));
  if (missing.length === 0) return ok("offloads", "gso, gro and tso are in use");
  return warning(
    "offloads",
    `not in use: ${missing.join(", ")}; it is slower`,
    "Use a newer kernel (6.2 or later).",
  );
}

function dataplane({ dataplane: found, dataplaneRestarts }: DaemonStatus): Finding {
  if (found === null) return problem("data plane", "it does not answer", "See `czctl logs`.");
  if (dataplaneRestarts === 0) return ok("data plane", `runs (process ${found.pid}), ${found.crypto}`);
  return warning(
    "data plane",
    `it had to be started again ${dataplaneRestarts} times`,
    "Report it with what `czctl logs` shows.",
  );
}

function range({ rangeProblem }: Facts, running: DaemonStatus | null): Finding {
  if (rangeProblem !== null) return fromProblem("service range", rangeProblem);
  const conflict = running?.warnings.find(text => text.startsWith("the service range "));
  if (conflict !== undefined) {
    return problem(
      "service range",
      conflict,
      "Choose another with `sudo czctl restart --service-range ADDRESS/BITS`.",
    );
  }
  return ok("service range", running === null ? "one is free" : running.device.ranges.join(", "));
}

function resolver({ resolver: environment }: Facts, running: DaemonStatus | null): Finding {
  const found = classifyResolver(environment);
  const { kind, nameServers, hostsFile: order } = found;
  const text = `${kind}${nameServers.length === 0 ? "" : ` (${nameServers.join(", ")})`}`;
  if (order === "never") {
    return problem(
      "resolver",
      "programs do not look into the hosts file: /etc/nsswitch.conf has no `files` for hosts",
      "Put it first there: hosts: files dns",
    );
  }
  if (order === "late") {
    return warning(
      "resolver",
      `${text}; another source is asked before the hosts file and may hide our names`,
      "Put `files` first in the hosts line of /etc/nsswitch.conf.",
    );
  }
  const [server] = running?.dns ?? [];
  if (running === null || server === undefined)
    return ok("resolver", `${text}; names come from the hosts file`);
  const { device, zone, resolved } = running;
  const registered = resolved.state === "registered";
  const advice = resolverAdvice(
    found,
    { device: device.name, server, zone, registered },
    environment.processes,
  );
  const hint = advice === null ? {} : { hint: `For SRV and pods' names: ${advice}` };
  if (kind !== "systemd-resolved")
    return { ...ok("resolver", `${text}; names come from the hosts file`), ...hint };
  if (registered) return { ...ok("resolver", `${text}; it asks us for ${zone}`), ...hint };
  const why = resolved.problem === null ? "" : `: ${resolved.problem}`;
  return { ...ok("resolver", `${text} does not ask us${why}`), level: "warning", ...hint };
}

function hostsFile({ hosts, root, daemon: asked }: Facts, running: DaemonStatus | null): Finding {
  const { path, text, writeError } = hosts;
  const lines = (text ?? "").split(/\r?\n/);
  const [start, end] = MARKERS.map(marker => lines.filter(line => line === marker).length) as [
    number,
    number,
  ];
  if (start !== end || start > 1) {
    return problem(
      "hosts file",
      `the markers of our section in ${path} are damaged`,
      "Mend it: sudo czctl cleanup, then up.",
    );
  }
  if (root && writeError !== null) {
    return problem(
      "hosts file",
      `${path} cannot be written: ${writeError}`,
      "Make it writable, or use --hosts-file.",
    );
  }
  if (asked === null && start === 1) {
    return problem(
      "hosts file",
      `${path} still has the section of an earlier run`,
      "Remove it: sudo czctl cleanup",
    );
  }
  if (running === null)
    return ok("hosts file", `${path}, ${start === 0 ? "no section" : "a section"} of ours`);
  if (start === 0 && running.services.consumed > 0 && running.link === "connected") {
    return problem(
      "hosts file",
      `our section in ${path} is gone`,
      "Another program rewrote it: sudo czctl restart",
    );
  }
  return ok("hosts file", `${path}, ${running.services.consumed} services`);
}

function remains({ devices, staleSockets, hosts, daemon: asked }: Facts): Finding {
  const found = [
    ...(asked === null ? devices.map(name => `device ${name}`) : []),
    ...staleSockets,
    ...(asked === null && hosts.backup ? ["a backup of the hosts file"] : []),
  ];
  if (found.length === 0) return ok("remains", "nothing is left of earlier runs");
  return warning("remains", `left of an earlier run: ${found.join(", ")}`, "Remove it: sudo czctl cleanup");
}
