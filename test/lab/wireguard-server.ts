/**
 * Other people's WireGuard as the server of a czctl, with the agent's control API behind it, and what else the labs
 * that have such peers begin with.
 */
import { chownSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { formatCredential, type Service } from "../../src/catalog/index.js";
import type { Czctl } from "./czctl.js";
import type { Host } from "./host.js";
import { type Lab, missing } from "./lab.js";
import type { Program } from "./program.js";
import { AGENT_PORT } from "./topology.js";
import {
  credentialFor,
  IMPLEMENTATIONS,
  type Implementation,
  type KeyPair,
  makeKeyPair,
  startWireguardGo,
} from "./wireguard-go.js";

const CONTROL_API = fileURLToPath(new URL("control-api.js", import.meta.url));
const NOBODY = 65534;

/** Lets the agent, which is nobody, write its device's socket there, so that `wg` finds it. */
export function openUapiDirectory({ cluster, sandbox }: Lab): void {
  const directory = cluster.outside("/run/wireguard");
  mkdirSync(directory);
  if (sandbox.root) chownSync(directory, NOBODY, NOBODY);
}

/** Those that can be run here; the others are skipped, and say so. */
export async function installedImplementations({ check }: Lab): Promise<Implementation[]> {
  const there: Implementation[] = [];
  for (const each of IMPLEMENTATIONS) {
    if (missing([each.binary]).length === 0) there.push(each);
    else await check(`${each.name} in both roles`, async () => undefined, { needs: [each.binary] });
  }
  return there;
}

/** Its socket too: some implementations do not notice that their device is gone. */
export async function stopWireguard(host: Host, program: Program): Promise<void> {
  await program.stop();
  await host.run("rm", ["-f", "/run/wireguard/wg0.sock"]);
}

/** One in the cluster, whose only peer is the czctl of the laptop. */
export class StandardServer {
  readonly keys: KeyPair = makeKeyPair();
  readonly presharedKey: string = makeKeyPair().privateKey;
  private readonly lab: Lab;
  private readonly implementation: Implementation;
  private readonly programs: Program[] = [];

  constructor(lab: Lab, implementation: Implementation) {
    this.lab = lab;
    this.implementation = implementation;
  }

  /** Until czctl is up at `endpoint` and has a catalog of `services`. */
  async connect(czctl: Czctl, endpoint: string, services: readonly Service[]): Promise<void> {
    const { implementation, keys, presharedKey, programs } = this;
    const { laptop, cluster } = this.lab;
    const { name } = implementation;
    const ours = makeKeyPair();
    const peer = {
      publicKey: ours.publicKey,
      presharedKey,
      allowedIps: ["100.126.0.2/32", "fd00:126::2/128"],
    };
    const server = await startWireguardGo(cluster, {
      ...implementation,
      device: "wg0",
      privateKey: keys.privateKey,
      listenPort: AGENT_PORT,
      addresses: ["100.126.0.1/32", "fd00:126::1/128"],
      peers: [peer],
    });
    programs.push(server);
    const catalog = join(cluster.dir, "catalog.json");
    writeFileSync(
      catalog,
      JSON.stringify({ zone: "cluster.local", teamspace: "x", agentVersion: "0", services }),
    );
    const control = cluster.spawn(process.execPath, [CONTROL_API, "100.126.0.1", catalog]);
    programs.push(control);
    await control.waitForLine(/ready/);
    const where = { publicKey: keys.publicKey, endpoint };
    const credential = credentialFor(name, ours.privateKey, presharedKey, where);
    const file = join(laptop.dir, `${name}.credential`);
    writeFileSync(file, formatCredential(credential), { mode: 0o600 });
    await czctl.run(["space", "add", file]);
    await czctl.run(["space", "select", name]);
    await czctl.up();
    await czctl.waitUntilConnected();
  }

  /** Makes the laptop's device forget the server and meet it anew. */
  async meetAnew(endpoint: string, presharedKey: string): Promise<void> {
    const { laptop } = this.lab;
    const file = join(laptop.dir, "preshared-key");
    const peer = ["set", "czctl0", "peer", this.keys.publicKey];
    writeFileSync(file, presharedKey, { mode: 0o600 });
    await laptop.run("wg", [...peer, "remove"]);
    const keepalive = ["endpoint", endpoint, "persistent-keepalive", "1"];
    await laptop.run("wg", [...peer, "preshared-key", file, ...keepalive]);
  }

  async stop(): Promise<void> {
    for (const program of this.programs) await stopWireguard(this.lab.cluster, program);
  }
}
