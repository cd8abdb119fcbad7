/**
 * A cluster as a program of a lab's host: starts it, installs the agent's objects for ENDPOINT, writes `admin`
 * and `agent.kubeconfig` below DIR, says `ready` and stays. `node cluster-main.js DIR ENDPOINT`.
 */
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { spaceInstall } from "../../src/agent/index.js";
import { Cluster, kubernetesBinary } from "./cluster.js";

const [dir = "", endpoint = ""] = process.argv.slice(2);
const cluster = await Cluster.start(kubernetesBinary() as string);
for (const name of ["SIGTERM", "SIGINT"] as const) {
  process.once(name, () => void cluster.stop().then(() => process.exit()));
}
const kubeconfig = cluster.kubeconfig("admin", Cluster.adminToken);
await spaceInstall({ kubeconfig, endpoint });
copyFileSync(kubeconfig, join(dir, "admin.kubeconfig"));
const tokenFile = join(dir, "agent.token");
writeFileSync(tokenFile, await cluster.serviceAccountToken("czctl", "czctl-agent"), { mode: 0o600 });
copyFileSync(cluster.kubeconfig("agent", { file: tokenFile }, "czctl"), join(dir, "agent.kubeconfig"));
console.log("ready");
