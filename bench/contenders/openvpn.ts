/** OpenVPN over UDP with TLS, point to point, the cipher that two ends of this version agree on (AES-256-GCM). */
import { join } from "node:path";
import type { Host } from "../../test/lab/host.js";
import { AGENT_ADDRESS } from "../../test/lab/topology.js";
import { type Contender, SERVICE_ADDRESS } from "../contender.js";
import { peerProgram } from "../peers.js";

const PORT = "1194";
const [SERVER, CLIENT] = ["10.9.0.1", "10.9.0.2"];

interface Identity {
  flags: string[];
  fingerprint: string;
}

async function makeIdentity(host: Host): Promise<Identity> {
  const [key, cert] = [join(host.dir, "key.pem"), join(host.dir, "cert.pem")];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  await host.run("openssl", [
    ...["req", "-x509", ...curve, "-subj", `/CN=${host.name}`, "-keyout", key, "-out", cert],
  ]);
  const printed = await host.run("openssl", ["x509", "-in", cert, "-noout", "-fingerprint", "-sha256"]);
  return {
    flags: ["--key", key, "--cert", cert],
    fingerprint: printed.trim().split("=")[1] ?? "",
  };
}

const COMMON = ["--dev", "tun0", "--proto", "udp", "--port", PORT, "--cd", "/", "--verb", "1"];

export const openvpn: Contender = {
  name: "openvpn",
  needs: ["/dev/net/tun", "openssl", peerProgram("openvpn")],
  async start(_sandbox, { laptop, cluster }) {
    const [here, there] = [await makeIdentity(laptop), await makeIdentity(cluster)];
    const program = peerProgram("openvpn");
    const server = cluster.spawn(program, [
      ...[...COMMON, ...there.flags, "--tls-server", "--dh", "none", "--peer-fingerprint", here.fingerprint],
      ...["--ifconfig", SERVER, CLIENT],
    ]);
    await cluster.waitForPort(Number(PORT), "udp");
    const client = laptop.spawn(program, [
      ...[...COMMON, ...here.flags, "--tls-client", "--remote", AGENT_ADDRESS, PORT, "--nobind"],
      ...["--peer-fingerprint", there.fingerprint, "--ifconfig", CLIENT, SERVER],
      ...["--route", "10.96.0.0", "255.255.0.0"],
    ]);
    await client.waitForLine(/Initialization Sequence Completed/, 20_000);
    return { target: SERVICE_ADDRESS, pids: async () => [client.pid, server.pid] };
  },
};
