/** `czctl doctor`'s judgement: each broken machine of a table, and that the true cause is named. */
import t from "tap";
import type { DaemonStatus, PeerStatus } from "../../src/api/index.js";
import type { Facts } from "../../src/daemon/index.js";
import { diagnose } from "../../src/daemon/tools.js";

const NOW = Date.UTC(2026, 0, 1);
const SECTION = "127.0.0.1 localhost\n###\n# CODEZERO\n198.18.0.7 frontend.shop\n# /CODEZERO\n###\n";

const STATUS: DaemonStatus = {
  version: "0.1.0",
  pid: 100,
  supervisorPid: 99,
  uptimeMs: 60_000,
  space: "team",
  teamspace: "team",
  agentVersion: "0.1.0",
  endpoint: "203.0.113.10:51820",
  link: "connected",
  problem: null,
  warnings: [],
  device: { name: "czctl0", addresses: ["198.18.0.1"], ranges: ["198.18.0.0/16"], mtu: 1420 },
  hostsFile: "/etc/hosts",
  dns: ["198.18.0.2"],
  resolved: { state: "absent", problem: null },
  zone: "cluster.local",
  primaryNamespace: null,
  services: { known: 2, consumed: 2, denied: 0 },
  dataplaneRestarts: 0,
  dataplane: {
    pid: 101,
    uptimeMs: 60_000,
    listenPort: 50_000,
    crypto: "openssl",
    offloads: ["gso", "gro", "tso"],
    peers: [{ publicKey: "k", lastHandshakeAt: NOW - 30_000, rxBytes: 1, txBytes: 1, rttMs: 12 }],
    flows: { tcp: 0, udp: 0 },
    counters: {},
    memory: { rssBytes: 1, ringBytes: 0 },
  },
};

const HEALTHY: Facts = {
  root: true,
  tunError: null,
  spaces: 1,
  daemon: STATUS,
  rangeProblem: null,
  devices: ["czctl0"],
  resolver: {
    resolvConf: "nameserver 192.0.2.1\n",
    resolvConfTarget: null,
    nsswitch: "hosts: files dns\n",
    processes: [],
  },
  hosts: { path: "/etc/hosts", text: SECTION, writeError: null, backup: false },
  staleSockets: [],
  probe: { roundTripsMs: [11, 12, 13], late: 0, throughput: { bytes: 30_000_000, ms: 3_000 } },
  now: NOW,
};
const STOPPED: Partial<Facts> = {
  daemon: null,
  devices: [],
  hosts: { ...HEALTHY.hosts, text: "127.0.0.1 localhost\n" },
};

const saying = (change: Partial<DaemonStatus>): Partial<Facts> => ({ daemon: { ...STATUS, ...change } });
const carrying = (change: Partial<NonNullable<DaemonStatus["dataplane"]>>): Partial<Facts> =>
  saying({ dataplane: { ...(STATUS.dataplane as NonNullable<DaemonStatus["dataplane"]>), ...change } });
const hosts = (change: Partial<Facts["hosts"]>): Partial<Facts> => ({
  hosts: { ...HEALTHY.hosts, ...change },
});
const shaken = (lastHandshakeAt: number): Partial<Facts> =>
  carrying({ peers: [{ publicKey: "k", lastHandshakeAt, rxBytes: 0, txBytes: 0 }] });
const peer = (change: Partial<PeerStatus>): Partial<Facts> =>
  carrying({ peers: [{ publicKey: "k", lastHandshakeAt: NOW - 30_000, rxBytes: 1, txBytes: 1, ...change }] });
const trouble = (code: string, message: string): Partial<Facts> =>
  saying({ link: "connecting", problem: { code, message, hint: "Do something." } });

const BROKEN: [name: string, facts: Partial<Facts>, level: string, check: string, text: string][] = [
  ["no module", { ...STOPPED, tunError: "ENOENT" }, "problem", "TUN device", "offers no TUN devices"],
  ["a container", { ...STOPPED, tunError: "EPERM" }, "problem", "TUN device", "cannot be opened: EPERM"],
  ["not root", { root: false }, "warning", "privilege", "not root"],
  ["nothing added yet", { ...STOPPED, spaces: 0 }, "problem", "spaces", "no space yet"],
  [
    "a damaged state file",
    {
      ...STOPPED,
      spaces: { code: "STATE_DAMAGED", message: "state.json is damaged", hint: "Move it away." },
    },
    "problem",
    "spaces",
    "is damaged",
  ],
  ["not started", STOPPED, "warning", "daemon", "not running"],
  [
    "not in the group",
    {
      daemon: {
        code: "PERMISSION_DENIED",
        message: "no permission to talk to the daemon",
        hint: "Use sudo.",
      },
    },
    "problem",
    "daemon",
    "no permission",
  ],
  [
    "agent silent",
    trouble("AGENT_SILENT", "no answer at 203.0.113.10:51820"),
    "problem",
    "agent",
    "no answer",
  ],
  [
    "agent not running",
    trouble("AGENT_REFUSED", "nothing listens at 203.0.113.10:51820"),
    "problem",
    "agent",
    "nothing listens",
  ],
  [
    "name unknown",
    trouble("AGENT_NAME_UNRESOLVED", "cannot resolve the agent's host name"),
    "problem",
    "agent",
    "cannot resolve",
  ],
  [
    "clock behind",
    trouble("CLOCK_BEHIND", "this machine's clock is 60 s behind"),
    "problem",
    "agent",
    "clock is 60 s behind",
  ],
  ["revoked", trouble("DEVICE_REVOKED", "the agent has revoked this device"), "problem", "agent", "revoked"],
  ["never shaken hands", shaken(0), "problem", "handshake", "there has been none"],
  ["the session is over", shaken(NOW - 400_000), "problem", "handshake", "400 s ago"],
  ["the clock was set back", shaken(NOW + 3_600_000), "problem", "handshake", "in the future"],
  [
    "connected, and nothing gets through",
    { probe: { error: "no answer through the tunnel" } },
    "problem",
    "round trip",
    "no answer through the tunnel",
  ],
  [
    "a network that loses packets",
    { probe: { roundTripsMs: [11, 12, 230, 250], late: 2, throughput: null } },
    "warning",
    "round trip",
    "2 of 4 lost",
  ],
  [
    "a path through narrow tunnels",
    peer({ mtu: 1_180, pathMtu: "confirmed" }),
    "warning",
    "path MTU",
    "only packets of 1180",
  ],
  [
    "an agent that answers no probes",
    peer({ mtu: 1_420, pathMtu: "unanswered" }),
    "warning",
    "path MTU",
    "not known",
  ],
  [
    "resolved that refuses us",
    {
      ...saying({ resolved: { state: "refused", problem: "Link czctl0 is managed." } }),
      resolver: { ...HEALTHY.resolver, resolvConf: "nameserver 127.0.0.53\n" },
    },
    "warning",
    "resolver",
    "does not ask us: Link czctl0 is managed.",
  ],
  ["no offloads", carrying({ offloads: ["gro"] }), "warning", "offloads", "gso, tso"],
  ["crashes", saying({ dataplaneRestarts: 3 }), "warning", "data plane", "3 times"],
  ["it hangs", saying({ dataplane: null }), "problem", "data plane", "does not answer"],
  [
    "a VPN took the range that the user chose",
    saying({ warnings: ["the service range 198.18.0.0/16 overlaps 198.18.0.0/15 on wg0: …"] }),
    "problem",
    "service range",
    "198.18.0.0/15 on wg0",
  ],
  [
    "every range is taken",
    { ...STOPPED, rangeProblem: { code: "SERVICE_RANGE_TAKEN", message: "no service range is free" } },
    "problem",
    "service range",
    "no service range is free",
  ],
  [
    "the hosts file is not asked",
    { resolver: { ...HEALTHY.resolver, nsswitch: "hosts: dns\n" } },
    "problem",
    "resolver",
    "do not look into the hosts file",
  ],
  [
    "the hosts file is asked last",
    { resolver: { ...HEALTHY.resolver, nsswitch: "hosts: dns files\n" } },
    "warning",
    "resolver",
    "before the hosts file",
  ],
  ["a read-only hosts file", hosts({ writeError: "EROFS" }), "problem", "hosts file", "EROFS"],
  [
    "another program rewrote it",
    hosts({ text: "127.0.0.1 localhost\n" }),
    "problem",
    "hosts file",
    "is gone",
  ],
  [
    "damaged markers",
    hosts({ text: SECTION.replace("# /CODEZERO", "") }),
    "problem",
    "hosts file",
    "damaged",
  ],
  [
    "a section of a dead run",
    { ...STOPPED, hosts: HEALTHY.hosts },
    "problem",
    "hosts file",
    "of an earlier run",
  ],
  [
    "a stale socket",
    { ...STOPPED, staleSockets: ["socket /run/czctl.sock"] },
    "warning",
    "remains",
    "/run/czctl.sock",
  ],
  ["a device of nobody's", { ...STOPPED, devices: ["czctl0"] }, "warning", "remains", "device czctl0"],
  [
    "an edit that was cut off",
    { ...STOPPED, hosts: { ...HEALTHY.hosts, text: "127.0.0.1 localhost\n", backup: true } },
    "warning",
    "remains",
    "backup of the hosts file",
  ],
];

t.test("a healthy machine", async t => {
  for (const finding of diagnose(HEALTHY)) t.equal(finding.level, "ok", `${finding.check}: ${finding.text}`);
});

t.test(
  `${BROKEN.length} broken machines: the cause is named, with what to do, and nothing else is blamed`,
  async t => {
    t.ok(BROKEN.length >= 15);
    for (const [name, change, level, check, text] of BROKEN) {
      const findings = diagnose({ ...HEALTHY, ...change });
      const found = findings.find(finding => finding.check === check);
      t.match(found, { level, text }, name);
      t.ok((found?.hint ?? "").length > 0, `${name}: a hint`);
      const blamed = findings.filter(finding => finding.level === "problem" && finding.check !== check);
      t.strictSame(blamed, [], `${name}: nothing else is a problem`);
    }
  },
);
