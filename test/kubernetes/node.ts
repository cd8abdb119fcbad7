/**
 * One node of a cluster in a lab: the lab's host `cluster`, with a real API server, etcd and kube-proxy. Pods are
 * namespaces with addresses of their own, routed by the node. What kubelet, controllers and a cloud's load balancer
 * would do, the lab does: it starts the pods' programs and writes EndpointSlices and the Service's outer address.
 *
 * ```
 *   laptop ── internet ── 203.0.113.10 cluster (kube-proxy, API server) ─┬─ 10.244.0.11 pod
 *                           10.96.0.0/16 by kube-proxy's rules alone      └─ 10.244.0.12 pod …
 * ```
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CLI, unprivileged } from "../lab/czctl.js";
import { Host } from "../lab/host.js";
import type { Lab } from "../lab/lab.js";
import { eventually, type Program } from "../lab/program.js";
import { AGENT_ADDRESS, AGENT_PORT } from "../lab/topology.js";
import { kubernetesBinary } from "./cluster.js";

const GATEWAY = "10.244.0.1";
const TOKENS = "/run/secrets/kubernetes.io/serviceaccount";
const START_LIMIT_MS = 120_000;

export type EndpointState = "ready" | "terminating";

interface PortOfSlice {
  name: string;
  port: number;
  protocol?: "UDP" | "TCP";
}

/** The Service's one slice, as the controller would keep it. */
export function slice(
  namespace: string,
  service: string,
  ports: PortOfSlice[],
  endpoints: Record<string, EndpointState>,
): object {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: `${service}-1`, namespace, labels: { "kubernetes.io/service-name": service } },
    addressType: "IPv4",
    endpoints: Object.entries(endpoints).map(([address, state]) => ({
      addresses: [address],
      conditions: { ready: state === "ready", serving: true, terminating: state === "terminating" },
      nodeName: "node",
    })),
    ports: ports.map(port => ({ protocol: "TCP", ...port })),
  };
}

export class Node {
  readonly dir: string;
  readonly pods: Host[] = [];
  readonly #lab: Lab;
  readonly #binary: string = kubernetesBinary() as string;

  private constructor(lab: Lab) {
    this.#lab = lab;
    this.dir = join(lab.sandbox.dir, "kubernetes");
    mkdirSync(this.dir);
  }

  /** @param endpoint where devices reach the agent; "": the agent is not installed yet */
  static async start(lab: Lab, endpoint: string = `${AGENT_ADDRESS}:${AGENT_PORT}`): Promise<Node> {
    const node = new Node(lab);
    const { cluster } = lab;
    await cluster.sysctl("net.ipv4.ip_forward", "1");
    const script = fileURLToPath(new URL("./cluster-main.js", import.meta.url));
    const control = cluster.spawn(process.execPath, [script, node.dir, endpoint, AGENT_ADDRESS], {
      env: { TMPDIR: node.dir },
    });
    await control.waitForLine(/ready/, START_LIMIT_MS);
    await node.apply({ apiVersion: "v1", kind: "Node", metadata: { name: "node" } });
    const addresses = [{ type: "InternalIP", address: AGENT_ADDRESS }];
    await node.patchStatus("node/node", { addresses });
    await node.#startProxy();
    return node;
  }

  async #startProxy(): Promise<void> {
    const proxy = this.#lab.cluster.spawn(this.#binary, [
      "proxy",
      `--kubeconfig=${join(this.dir, "admin.kubeconfig")}`,
      "--proxy-mode=nftables",
      "--hostname-override=node",
      "--cluster-cidr=10.244.0.0/16",
      // Limits of the whole machine, which a namespace may not set.
      "--conntrack-max-per-core=0",
      "--conntrack-tcp-timeout-established=0s",
      "--conntrack-tcp-timeout-close-wait=0s",
      "-v=2",
    ]);
    await eventually(
      "kube-proxy's rules",
      async () => {
        if (!proxy.running) throw new Error(proxy.tail());
        await this.#lab.cluster.run("nft", ["list", "table", "ip", "kube-proxy"]);
      },
      20_000,
    );
  }

  kubectl(args: string[], input = ""): Promise<string> {
    const env = { KUBECONFIG: join(this.dir, "admin.kubeconfig") };
    return this.#lab.cluster.run(this.#binary, ["kubectl", ...args], { env, input });
  }

  apply(...objects: object[]): Promise<string> {
    const input = objects.map(object => JSON.stringify(object)).join("\n---\n");
    return this.kubectl(["apply", "-f", "-"], input);
  }

  patchStatus(object: string, status: object, namespace = "default"): Promise<string> {
    const patch = JSON.stringify({ status });
    return this.kubectl([
      "-n",
      namespace,
      "patch",
      object,
      "--subresource=status",
      "--type=merge",
      "-p",
      patch,
    ]);
  }

  /** As an administrator on this host. */
  czctl(args: string[]): Promise<string> {
    const env = { KUBECONFIG: join(this.dir, "admin.kubeconfig") };
    return this.#lab.cluster.run(process.execPath, [CLI, ...args], { env });
  }

  /** A namespace with this address, routed by the node. */
  async pod(name: string, address: string): Promise<Host> {
    const pod = await Host.make(this.#lab.sandbox, name);
    this.pods.push(pod);
    const { cluster } = this.#lab;
    await cluster.ip(
      `link add ${name} type veth peer name eth0 netns ${pod.pid}\n` +
        `addr add ${GATEWAY}/32 dev ${name}\nlink set ${name} up\nroute add ${address}/32 dev ${name}\n`,
    );
    await pod.ip(
      `link set eth0 up\naddr add ${address}/32 dev eth0\n` +
        `route add ${GATEWAY}/32 dev eth0\nroute add default via ${GATEWAY}\n`,
    );
    return pod;
  }

  /** A replica of the agent: the Deployment's arguments, its ServiceAccount's token, no root, and its probes. */
  async agent(name: string, address: string): Promise<{ pod: Host; program: Program }> {
    const pod = await this.pod(name, address);
    const secrets = pod.outside(TOKENS);
    mkdirSync(secrets, { recursive: true });
    const token = await this.kubectl(["-n", "czctl", "create", "token", "czctl-agent", "--duration=1h"]);
    writeFileSync(join(secrets, "token"), token.trim());
    writeFileSync(join(secrets, "ca.crt"), readFileSync(join(this.dir, "ca.crt")));
    writeFileSync(join(secrets, "namespace"), "czctl");
    await pod.run("sh", ["-c", "mkdir -m 777 /run/czctl"]);
    const get = ["-n", "czctl", "get", "deployment", "czctl-agent", "-o", "json"];
    const deployment = JSON.parse(await this.kubectl(get));
    const [container] = deployment.spec.template.spec.containers;
    const command = unprivileged(this.#lab.sandbox, process.execPath, [CLI, ...container.args]);
    const env = { KUBERNETES_SERVICE_HOST: "10.96.0.1", KUBERNETES_SERVICE_PORT: "443" };
    const program = pod.spawn(...command, { env });
    await this.#probe(name, address, "readyz", program);
    return { pod, program };
  }

  /** Until kubelet's probe of the pod would succeed. */
  async #probe(name: string, address: string, path: string, program: Program): Promise<void> {
    await eventually(
      `${name}/${path}`,
      async () => {
        if (!program.running) throw new Error(`${name} ended\n${program.tail()}`);
        const { cluster } = this.#lab;
        await cluster.run("curl", ["-fsS", "--max-time", "1", `http://${address}:9090/${path}`]);
      },
      20_000,
    );
  }

  /** The agent's Service, as its controllers would keep it. */
  agentEndpoints(endpoints: Record<string, EndpointState>): Promise<string> {
    const port = { name: "tunnel", port: AGENT_PORT, protocol: "UDP" as const };
    return this.apply(slice("czctl", "czctl-agent", [port], endpoints));
  }

  /** What a cloud's load balancer does with the agent's Service. */
  async exposeAgent(): Promise<void> {
    await this.patchStatus(
      "service/czctl-agent",
      { loadBalancer: { ingress: [{ ip: AGENT_ADDRESS }] } },
      "czctl",
    );
  }

  /** Until kube-proxy sends to this address, or does not any more. */
  async waitForRules(address: string, present: boolean): Promise<void> {
    await eventually("kube-proxy's rules", async () => {
      const rules = await this.#lab.cluster.run("nft", ["list", "table", "ip", "kube-proxy"]);
      if (rules.includes(`${address}:`) !== present && rules.includes(`${address} `) !== present) {
        throw new Error(`${address} is ${present ? "not yet" : "still"} there`);
      }
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.pods.map(pod => pod.close()));
  }
}
