/**
 * A cluster as a program of a lab's host: starts it, installs the agent's objects for ENDPOINT, writes into DIR what
 * pods and administrators are given, says `ready` and stays. `node cluster-main.js DIR ENDPOINT [ADDRESS]`; ADDRESS is
 * where pods reach the API server.
 */
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { spaceInstall } from "../../src/agent/index.js";
import { Cluster, kubernetesBinary } from "./cluster.js";

const [dir = "", endpoint = "", address] = process.argv.slice(2);
const cluster = await Cluster.start(kubernetesBinary() as string, address);
for (const name of ["SIGTERM", "SIGINT"] as const) {
  process.once(name, () => void cluster.stop().then(() => process.exit()));
}
const kubeconfig = cluster.kubeconfig("admin", Cluster.adminToken);
if (endpoint !== "") {
  await spaceInstall({ kubeconfig, endpoint });
  const tokenFile = join(dir, "agent.token");
  writeFileSync(tokenFile, await cluster.serviceAccountToken("czctl", "czctl-agent"), { mode: 0o644 });
  copyFileSync(cluster.kubeconfig("agent", { file: tokenFile }, "czctl"), join(dir, "agent.kubeconfig"));
}
copyFileSync(cluster.certificate, join(dir, "ca.crt"));
copyFileSync(kubeconfig, join(dir, "admin.kubeconfig"));
console.log("ready");
