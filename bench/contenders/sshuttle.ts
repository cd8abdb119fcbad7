/** sshuttle over OpenSSH: TCP streams, redirected by nftables on the laptop, multiplexed through one ssh session. */
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AGENT_ADDRESS } from "../../test/lab/topology.js";
import { type Contender, SERVICE_ADDRESS } from "../contender.js";
import { peerProgram, processTree } from "../peers.js";

export const sshuttle: Contender = {
  name: "sshuttle",
  needs: [peerProgram("sshuttle"), "/usr/sbin/sshd", "ssh", "nft"],
  async start(_sandbox, { laptop, cluster }) {
    const keyFile = join(laptop.dir, "id");
    const hostKey = join(cluster.dir, "host");
    const allowed = join(cluster.dir, "allowed");
    await laptop.run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", keyFile]);
    await cluster.run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", hostKey]);
    copyFileSync(`${keyFile}.pub`, allowed);
    const config = join(cluster.dir, "sshd_config");
    const lines = [`HostKey ${hostKey}`, `AuthorizedKeysFile ${allowed}`, "StrictModes no", "UsePAM no"];
    writeFileSync(config, `${lines.join("\n")}\nPermitRootLogin prohibit-password\n`);
    await cluster.run("mkdir", ["-p", "/run/sshd"]);
    const server = cluster.spawn("/usr/sbin/sshd", ["-D", "-e", "-f", config]);
    await cluster.waitForPort(22);
    const trust = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o IdentitiesOnly=yes";
    const client = laptop.spawn(peerProgram("sshuttle"), [
      ...["--method", "nft", "--remote", `root@${AGENT_ADDRESS}`, "--python", "/usr/bin/python3"],
      ...["--ssh-cmd", `ssh -F none -i ${keyFile} ${trust}`, "10.96.0.0/16"],
    ]);
    await client.waitForLine(/Connected to server/i, 20_000);
    return {
      target: SERVICE_ADDRESS,
      pids: async () => [...processTree(client.pid), ...processTree(server.pid)],
    };
  },
};
