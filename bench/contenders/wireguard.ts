/** Userspace WireGuard by others, kernel TCP and kernel routing on both sides, as wg-quick would set it up. */
import { AGENT_ADDRESS, AGENT_PORT } from "../../test/lab/topology.js";
import { makeKeyPair, startWireguardGo } from "../../test/lab/wireguard-go.js";
import { type Contender, SERVICE_ADDRESS } from "../contender.js";
import { peerProgram } from "../peers.js";

const DEVICE_NETWORK = "10.9.0";

function wireguard(name: string, binary: string, flags: string[] = []): Contender {
  return {
    name,
    needs: ["/dev/net/tun", binary, "wg"],
    async start(_sandbox, { laptop, cluster }) {
      const [here, there] = [makeKeyPair(), makeKeyPair()];
      const server = await startWireguardGo(cluster, {
        device: "wg0",
        binary,
        flags,
        privateKey: there.privateKey,
        listenPort: AGENT_PORT,
        addresses: [`${DEVICE_NETWORK}.1/24`],
        peers: [{ publicKey: here.publicKey, allowedIps: [`${DEVICE_NETWORK}.2/32`] }],
      });
      const endpoint = `${AGENT_ADDRESS}:${AGENT_PORT}`;
      const client = await startWireguardGo(laptop, {
        device: "wg0",
        binary,
        flags,
        privateKey: here.privateKey,
        addresses: [`${DEVICE_NETWORK}.2/24`],
        peers: [{ publicKey: there.publicKey, endpoint, allowedIps: ["10.96.0.0/16"] }],
      });
      return { target: SERVICE_ADDRESS, pids: async () => [client.pid, server.pid] };
    },
  };
}

/** Debian 12's wireguard-go: without offloads. Never the one that `install-peers.mjs` built. */
export const wireguardGoDebian: Contender = wireguard("wireguard-go-debian", "/usr/bin/wireguard-go");
export const wireguardGo: Contender = wireguard("wireguard-go", peerProgram("wireguard-go-current"));
export const boringtun: Contender = wireguard("boringtun", peerProgram("boringtun-cli"), [
  "--disable-drop-privileges",
]);
