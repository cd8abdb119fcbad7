/** `czctl agent …`: the Space Agent's side. The room is loaded by the commands that need it. */
import { isIP } from "node:net";
import type { Argv } from "yargs";
import type { AgentPeerRow, KubernetesOptions } from "../../agent/index.js";
import { plainText } from "../../base/index.js";
import type { MetricsEndpoint } from "../../telemetry/index.js";
import { type Flags, type Program, settingsOf, usageError } from "../context.js";
import { type DeviceFlags, withDevice } from "../device-options.js";
import { type FormatFlags, invitationFormat, withFormat } from "../invitation-format.js";
import { type LogFlags, withLog } from "../log-options.js";
import { formatBytes, formatDuration, formatTable, paint, print, printJson } from "../output.js";
import { renderQr } from "../qr.js";
import { intoFile, type OutputFlags, withOutput } from "../secret-file.js";

interface InitFlags {
  endpoint: string;
  listen: number | undefined;
  teamspace: string | undefined;
  zone: string | undefined;
  tunnelRange: string | undefined;
}

export function addAgentCommands(program: Program): void {
  program.command("agent", "Run a Space Agent and decide which devices it knows", y =>
    y
      .option("dir", {
        type: "string",
        requiresArg: true,
        description: "The agent's directory [CZCTL_AGENT_DIR]",
      })
      .command(
        "init",
        "Make a new agent: its directory and keys",
        own => initOptions(own),
        flags => init(flags),
      )
      .command(
        "run",
        "Run the agent in the foreground; it needs no privilege",
        own => runOptions(own),
        flags => run(flags),
      )
      .command(
        "invite <name>",
        "Make a device known and print its credential, which is kept nowhere else",
        own => withDevice(withOutput(withFormat(own)), "everything"),
        flags => invite(flags),
      )
      .command(
        "revoke <name>",
        "Cut a device off, open connections included",
        own => own.positional("name", { type: "string", demandOption: true }),
        flags => revoke(flags),
      )
      .command(
        "peers",
        "List the devices",
        own => own,
        flags => peers(flags),
      )
      .demandCommand(1, 1, "which one: agent init, run, invite, revoke or peers?"),
  );
}

const initOptions = <T>(y: Argv<T>) =>
  y
    .option("endpoint", {
      type: "string",
      demandOption: true,
      requiresArg: true,
      description: "HOST:PORT where devices reach the agent (UDP)",
    })
    .option("listen", {
      type: "number",
      requiresArg: true,
      description: "UDP port to bind [that of --endpoint]",
    })
    .option("teamspace", {
      type: "string",
      requiresArg: true,
      description: "Name of the teamspace [teamspace]",
    })
    .option("zone", { type: "string", requiresArg: true, description: "Cluster domain [cluster.local]" })
    .option("tunnel-range", {
      type: "string",
      requiresArg: true,
      description: "IPv4 network for agent and devices inside the tunnel [100.126.0.0/16]",
    });

const runOptions = <T>(y: Argv<T>) =>
  withLog(y)
    .option("catalog", {
      type: "string",
      requiresArg: true,
      description: "YAML file with the services, watched for changes",
    })
    .option("kubernetes", {
      type: "boolean",
      description: "Offer the services of the cluster: the one it runs in, or that of --kubeconfig",
    })
    .option("kubeconfig", {
      type: "string",
      requiresArg: true,
      description: "Kubeconfig file, outside the cluster [KUBECONFIG, ~/.kube/config]",
    })
    .option("namespaces", {
      type: "string",
      array: true,
      requiresArg: true,
      description: "Only these namespaces of the cluster [all]",
    })
    .option("secret", {
      type: "string",
      requiresArg: true,
      description: "Secret that holds agent.json and peers.json; --dir becomes its copy",
    })
    .option("policy", {
      type: "string",
      requiresArg: true,
      description: "ConfigMap that holds policy.yaml",
    })
    .option("metrics-port", {
      type: "number",
      requiresArg: true,
      description: "TCP port of /metrics, /healthz and /readyz [none]",
    })
    .option("metrics-address", {
      type: "string",
      requiresArg: true,
      description: "Address that these are served at; any: every one of the machine [127.0.0.1]",
    })
    .option("drain-seconds", {
      type: "number",
      requiresArg: true,
      description: "How long open connections may go on when the agent is told to stop [0]",
    })
    .conflicts("catalog", "kubernetes")
    .implies("secret", "kubernetes")
    .implies("metrics-address", "metrics-port")
    .implies("policy", "secret")
    .implies("kubeconfig", "kubernetes")
    .implies("namespaces", "kubernetes");

type AgentFlags<Own = object> = Flags<Own & { dir: string | undefined }>;

function directoryOf(flags: { dir: string | undefined }): string {
  const dir = flags.dir ?? process.env.CZCTL_AGENT_DIR;
  if (dir !== undefined && dir !== "") return dir;
  throw usageError("which agent?", "Name its directory with --dir DIR or CZCTL_AGENT_DIR.");
}

async function init(flags: AgentFlags<InitFlags>): Promise<void> {
  const { agentInit } = await import("../../agent/index.js");
  const { endpoint, listen, teamspace, zone, tunnelRange } = flags;
  const dir = directoryOf(flags);
  const made = await agentInit({
    dir,
    endpoint,
    ...(listen === undefined ? {} : { listen }),
    ...(teamspace === undefined ? {} : { teamspace }),
    ...(zone === undefined ? {} : { zone }),
    ...(tunnelRange === undefined ? {} : { tunnelRange }),
  });
  if (flags.json) return printJson(made);
  print(
    `Made the agent of teamspace ${made.teamspace} in ${made.dir} (${made.endpoint}, UDP port ${made.listenPort}).`,
  );
  print(`Next: czctl agent run --dir ${dir} --catalog services.yaml`);
}

interface RunFlags extends LogFlags {
  catalog: string | undefined;
  kubernetes: boolean | undefined;
  kubeconfig: string | undefined;
  namespaces: string[] | undefined;
  secret: string | undefined;
  policy: string | undefined;
  metricsPort: number | undefined;
  metricsAddress: string | undefined;
  drainSeconds: number | undefined;
}

async function run(flags: AgentFlags<RunFlags>): Promise<void> {
  const { agentRun } = await import("../../agent/index.js");
  const { openLog } = await import("../../telemetry/index.js");
  const settings = settingsOf(flags);
  const metrics = metricsEndpoint(flags);
  const abort = new AbortController();
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.once(name, () => abort.abort());
  await agentRun({
    dir: directoryOf(flags),
    ...(flags.catalog === undefined ? {} : { catalog: flags.catalog }),
    ...(flags.kubernetes ? { kubernetes: kubernetesOptions(flags) } : {}),
    ...(metrics === null ? {} : { metrics }),
    ...(flags.drainSeconds === undefined ? {} : { drainMs: flags.drainSeconds * 1000 }),
    tuning: settings.tuning,
    signal: abort.signal,
    log: await openLog({ level: settings.logLevel, format: settings.logFormat, component: "agent" }),
  });
}

function metricsEndpoint({ metricsPort, metricsAddress = "127.0.0.1" }: RunFlags): MetricsEndpoint | null {
  const address = metricsAddress === "any" ? null : metricsAddress;
  if (address !== null && isIP(address) === 0) {
    throw usageError(
      `--metrics-address ${address} is not an address`,
      "Give an IP address of this machine, or: any.",
    );
  }
  return metricsPort === undefined ? null : { port: metricsPort, address };
}

function kubernetesOptions({ kubeconfig, namespaces, secret, policy }: RunFlags): KubernetesOptions {
  return {
    ...(secret === undefined ? {} : { secret }),
    ...(policy === undefined ? {} : { policy }),
    ...(kubeconfig === undefined ? {} : { kubeconfig }),
    // `--namespaces a,b` as well as `--namespaces a b`.
    ...(namespaces === undefined ? {} : { namespaces: namespaces.flatMap(text => text.split(",")) }),
  };
}

type InviteFlags = DeviceFlags & FormatFlags & OutputFlags;

async function invite(flags: AgentFlags<InviteFlags>): Promise<void> {
  const asWanted = invitationFormat(flags);
  const { agentInvite } = await import("../../agent/index.js");
  const allow = flags.allow === undefined ? {} : { allow: flags.allow };
  const make = async () => {
    const { credential, ...made } = await agentInvite({
      dir: directoryOf(flags),
      name: flags.name,
      ...allow,
      ...(flags.user === undefined ? {} : { user: flags.user }),
      ...(flags.group === undefined ? {} : { groups: flags.group }),
    });
    return { ...made, credential: await asWanted(credential) };
  };
  const made = await intoFile(flags.output, make, ({ credential }) => credential);
  const { credential, ...others } = made;
  if (flags.json) return printJson(flags.output === undefined ? made : others);
  if (flags.output === undefined) process.stdout.write(credential);
  if (flags.qr) process.stderr.write(renderQr(withoutComments(credential)));
  const what = flags.allow === undefined ? "everything" : flags.allow.join(" ");
  process.stderr.write(
    `Device ${made.name} may reach ${what}. Its credential is secret: hand it over safely.\n`,
  );
  if (made.warning !== undefined)
    process.stderr.write(`${paint("yellow", "warning:", process.stderr)} ${made.warning}\n`);
}

/** A code with less in it is easier to read for a camera. */
function withoutComments(configuration: string): string {
  return configuration.replaceAll(/^#.*\n/gm, "");
}

async function revoke(flags: AgentFlags<{ name: string }>): Promise<void> {
  const { agentRevoke } = await import("../../agent/index.js");
  const revoked = await agentRevoke({ dir: directoryOf(flags), name: flags.name });
  if (flags.json) return printJson(revoked);
  print(
    revoked.live ? `Revoked ${revoked.name}; it is cut off.` : `Revoked ${revoked.name} (no agent runs).`,
  );
}

async function peers(flags: AgentFlags): Promise<void> {
  const { agentPeers } = await import("../../agent/index.js");
  const rows = await agentPeers({ dir: directoryOf(flags) });
  if (flags.json) return printJson(rows);
  if (rows.length === 0) return print("There is no device yet: czctl agent invite NAME");
  const header = ["DEVICE", "KEY", "ADDRESS", "MAY REACH", "ENDPOINT", "HANDSHAKE", "IN", "OUT"];
  print(formatTable(header, rows.map(formatPeer)));
}

function formatPeer({ name, shortKey, addresses, allow, live }: AgentPeerRow): string[] {
  const handshake = live?.lastHandshakeAt
    ? `${formatDuration(Math.max(0, Date.now() - live.lastHandshakeAt))} ago`
    : "-";
  return [
    plainText(name),
    shortKey,
    addresses[0] ?? "-",
    allow.length === 0 ? "everything" : allow.join(" "),
    live?.endpoint ?? "-",
    handshake,
    live === undefined ? "-" : formatBytes(live.rxBytes),
    live === undefined ? "-" : formatBytes(live.txBytes),
  ];
}
