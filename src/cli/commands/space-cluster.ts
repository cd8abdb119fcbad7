/** `czctl space install`, `invite`, `revoke`, `uninstall`: the administrator's side of a space in a cluster. */
import type { Argv } from "yargs";
import { isPort } from "../../catalog/index.js";
import { type Flags, type Program, usageError } from "../context.js";
import { type DeviceFlags, withDevice } from "../device-options.js";
import { print, printJson } from "../output.js";
import { intoFile, type OutputFlags, withOutput } from "../secret-file.js";

interface ClusterFlags {
  kubeconfig: string | undefined;
  namespace: string | undefined;
}

const inCluster = <T>(y: Argv<T>) =>
  y
    .option("kubeconfig", {
      type: "string",
      requiresArg: true,
      description: "Kubeconfig file of an administrator [KUBECONFIG, ~/.kube/config]",
    })
    .option("namespace", {
      type: "string",
      requiresArg: true,
      description: "Namespace of the Space Agent [czctl]",
    });

const withName = <T>(y: Argv<T>) => inCluster(y).positional("name", { type: "string", demandOption: true });

export function addSpaceClusterCommands(y: Program): Program {
  return y
    .command(
      "install",
      "Install the Space Agent into a cluster, or update it",
      own => installOptions(own),
      flags => install(flags),
    )
    .command(
      "invite <name>",
      "Make a device known and print its credential, which is kept nowhere else",
      own => withDevice(withOutput(inCluster(own)), "what the policy says"),
      flags => invite(flags),
    )
    .command(
      "revoke <name>",
      "Cut a device off, open connections included",
      own => withName(own),
      flags => revoke(flags),
    )
    .command(
      "uninstall",
      "Delete the agent, its keys and its devices from the cluster",
      own =>
        inCluster(own).option("yes", {
          type: "boolean",
          description: "Do it: devices need new invitations afterwards",
        }),
      flags => uninstall(flags),
    );
}

const installOptions = <T>(y: Argv<T>) =>
  inCluster(y)
    .option("endpoint", {
      type: "string",
      demandOption: true,
      requiresArg: true,
      description: "HOST:PORT where devices reach the agent (UDP)",
    })
    .option("image", { type: "string", requiresArg: true, description: "Image of the agent [czctl:VERSION]" })
    .option("teamspace", {
      type: "string",
      requiresArg: true,
      description: "Name of the teamspace [teamspace]",
    })
    .option("zone", { type: "string", requiresArg: true, description: "Cluster domain [cluster.local]" })
    .option("replicas", { type: "number", requiresArg: true, description: "How many agents [2]" })
    .option("node-port", {
      type: "number",
      requiresArg: true,
      description: "A NodePort in place of a LoadBalancer",
    })
    .option("namespaces", {
      type: "string",
      array: true,
      requiresArg: true,
      description: "Only the services of these, and no right to read others [all]",
    })
    .option("image-pull-secret", {
      type: "string",
      requiresArg: true,
      description: "Secret of the agent's namespace with the registry's login",
    })
    .option("dry-run", { type: "boolean", description: "Print the manifests and change nothing" });

/** Only what was given: absent and undefined are not the same to the agent's room. */
function given<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

interface InstallFlags extends ClusterFlags {
  endpoint: string;
  image: string | undefined;
  teamspace: string | undefined;
  zone: string | undefined;
  replicas: number | undefined;
  nodePort: number | undefined;
  namespaces: string[] | undefined;
  imagePullSecret: string | undefined;
  dryRun: boolean | undefined;
}

async function install(flags: Flags<InstallFlags>): Promise<void> {
  const { spaceInstall } = await import("../../agent/index.js");
  const { endpoint, kubeconfig, namespace, image, imagePullSecret, teamspace, zone, replicas } = flags;
  const { nodePort, dryRun } = flags;
  if (replicas !== undefined && !(Number.isInteger(replicas) && replicas > 0)) {
    throw usageError(`--replicas ${replicas} is not a number of agents`, "Give 1 or more.");
  }
  if (nodePort !== undefined && !isPort(nodePort)) {
    throw usageError(
      `--node-port ${nodePort} is not a port`,
      "Give one of the cluster's range, 30000 to 32767 as a rule.",
    );
  }
  // `--namespaces a,b` as well as `--namespaces a b`.
  const namespaces = flags.namespaces?.flatMap(text => text.split(","));
  const wanted = { image, imagePullSecret, replicas, nodePort, namespaces };
  const options = given({ kubeconfig, namespace, teamspace, zone, dryRun, ...wanted });
  const { manifests, ...result } = await spaceInstall({ ...options, endpoint });
  if (flags.json) return printJson(result);
  if (dryRun) return print(manifests.trimEnd());
  print(`Installed the Space Agent into namespace ${result.namespace} (${result.applied.length} objects).`);
  if (!result.newKeys) print("It keeps the keys, the endpoint and the devices that it had.");
  print("Next: czctl space invite NAME --allow '*.NAMESPACE' > credential.json");
}

type InviteFlags = ClusterFlags & DeviceFlags & OutputFlags;

async function invite(flags: Flags<InviteFlags>): Promise<void> {
  const { spaceInvite } = await import("../../agent/index.js");
  const { kubeconfig, namespace, name, allow, user, group: groups } = flags;
  const made = await intoFile(
    flags.output,
    () => spaceInvite({ ...given({ kubeconfig, namespace, allow, user, groups }), name }),
    ({ credential }) => credential,
  );
  const { credential, ...others } = made;
  if (flags.json) return printJson(flags.output === undefined ? made : others);
  if (flags.output === undefined) process.stdout.write(credential);
  const what =
    allow === undefined ? "what the policy grants it" : `${allow.join(" ")} and what the policy grants it`;
  process.stderr.write(`Device ${name} may reach ${what}. Its credential is secret: hand it over safely.\n`);
}

async function revoke(flags: Flags<ClusterFlags & { name: string }>): Promise<void> {
  const { spaceRevoke } = await import("../../agent/index.js");
  const { kubeconfig, namespace, name } = flags;
  const revoked = await spaceRevoke({ ...given({ kubeconfig, namespace }), name });
  flags.json ? printJson(revoked) : print(`Revoked ${name}; running agents cut it off within a second.`);
}

async function uninstall(flags: Flags<ClusterFlags & { yes: boolean | undefined }>): Promise<void> {
  if (flags.yes !== true)
    throw usageError("this forgets every device", "Add --yes if that is what you want.");
  const { spaceUninstall } = await import("../../agent/index.js");
  const { kubeconfig, namespace } = flags;
  const gone = await spaceUninstall(given({ kubeconfig, namespace }));
  if (flags.json) return printJson(gone);
  print(`Deleted ${gone.deleted.length} objects of namespace ${gone.namespace}.`);
}
