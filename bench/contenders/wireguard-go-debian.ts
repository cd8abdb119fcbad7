/** wireguard-go as Debian ships it (without offloads), kernel TCP and kernel routing on both sides. */
import { AGENT_ADDRESS, AGENT_PORT } from "../../test/lab/topology.js";
import { makeKeyPair, startWireguardGo } from "../../test/lab/wireguard-go.js";
import { type Contender, SERVICE_ADDRESS } from "../contender.js";

export const wireguardGoDebian: Contender = {
  name: "wireguard-go-debian",
  needs: ["/dev/net/tun", "wireguard-go", "wg"],
  async start(_sandbox, { laptop, cluster }) {
    const [here, there] = [makeKeyPair(), makeKeyPair()];
    const server = await startWireguardGo(cluster, {
      device: "wg0",
      privateKey: there.privateKey,
      listenPort: AGENT_PORT,
      addresses: ["10.9.0.1/24"],
      peers: [{ publicKey: here.publicKey, allowedIps: ["10.9.0.2/32"] }],
    });
    const endpoint = `${AGENT_ADDRESS}:${AGENT_PORT}`;
    const client = await startWireguardGo(laptop, {
      device: "wg0",
      privateKey: here.privateKey,
      addresses: ["10.9.0.2/24"],
      peers: [{ publicKey: there.publicKey, endpoint, allowedIps: ["10.96.0.0/16"] }],
    });
    return { target: SERVICE_ADDRESS, pids: async () => [client.pid, server.pid] };
  },
};
