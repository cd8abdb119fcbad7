/** What a laptop's data plane is told as it starts, and of the one peer that it has. */
import { CONTROL_PORT, type PeerConfig, type ToDataplane, type Tuning } from "../api/index.js";
import type { Credential } from "../catalog/index.js";

/** What does not change between one data plane and the next. */
export interface DataplaneSetting {
  tun: { fd: number; mtu: number; tso: boolean };
  dns: { addresses: string[]; udpPort: number; tcpPort: number };
  controlSocketPath: string;
  uapiSocketPath?: string;
  runAs?: { uid: number; gid: number };
  tuning: Tuning;
}

/** The TUN descriptor's number in the child: `spawnDataplane` counts from here. */
const TUN_FD = 4;
const KEEPALIVE_SECONDS = 25;

/** @param endpoint the agent's, as far as it is known */
export function startMessage(
  setting: DataplaneSetting,
  credential: Credential,
  endpoint: string | null,
): ToDataplane {
  const { tun, dns, controlSocketPath, uapiSocketPath, runAs, tuning } = setting;
  return {
    type: "start",
    role: "laptop",
    privateKey: credential.privateKey,
    innerAddresses: credential.innerAddresses,
    mtu: credential.mtu,
    listenPort: 0,
    peers: [agentPeer(credential, endpoint)],
    tun: { fd: TUN_FD, mtu: tun.mtu, tso: tun.tso },
    dns,
    control: {
      socketPath: controlSocketPath,
      remote: `${credential.agent.innerAddresses[0]}:${CONTROL_PORT}`,
    },
    ...(uapiSocketPath === undefined ? {} : { uapiSocketPath }),
    ...(runAs === undefined ? {} : { runAs }),
    tuning,
  };
}

export function agentPeer({ agent, presharedKey }: Credential, endpoint: string | null): PeerConfig {
  return {
    publicKey: agent.publicKey,
    presharedKey,
    ...(endpoint === null ? {} : { endpoint }),
    // Cluster addresses may be any; only this peer is asked for them, and only flows that we opened are taken.
    allowedIps: ["0.0.0.0/0", "::/0"],
    persistentKeepaliveSeconds: KEEPALIVE_SECONDS,
  };
}
