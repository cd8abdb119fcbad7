/**
 * A real kube-apiserver with etcd on loopback, RBAC on, for as long as one test file runs. There are no nodes
 * and no controllers: what those would write (EndpointSlices, mostly) the tests write.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { generateKeyPairSync } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { KubernetesClient } from "../../src/agent/kubernetes-client.js";

const CACHE = fileURLToPath(new URL("../../../.cache/kubernetes/", import.meta.url));
const START_LIMIT_MS = 120_000;

/** The binary that `npm run test:kubernetes` has built, or null. */
export function kubernetesBinary(): string | null {
  return cached(/^kubernetes-v[\d.]+-[0-9a-f]+$/, process.env.CZCTL_TEST_KUBERNETES);
}

function cached(name: RegExp, given: string | undefined): string | null {
  if (given !== undefined) return given;
  const found = existsSync(CACHE) ? readdirSync(CACHE).find(file => name.test(file)) : undefined;
  return found === undefined ? null : join(CACHE, found);
}

export function helmBinary(): string | null {
  return cached(/^helm/, process.env.CZCTL_TEST_HELM);
}

export const NOT_BUILT = "kube-apiserver is not built: npm run test:kubernetes (needs Go)";

export class Cluster {
  static readonly adminToken: string = "admin-of-a-test-cluster";
  readonly dir: string = mkdtempSync(join(tmpdir(), "czctl-kubernetes-"));
  readonly #binary: string;
  /** Of the API server; without one it is on loopback and the Service `kubernetes` leads nowhere. */
  readonly #address: string | undefined;
  readonly #children: ChildProcess[] = [];
  #apiserver: ChildProcess | undefined;
  #ports: { etcd: number; api: number } = { etcd: 0, api: 0 };
  #admin: KubernetesClient | undefined;

  constructor(binary: string, address?: string) {
    this.#binary = binary;
    this.#address = address;
  }

  static async start(binary: string, address?: string): Promise<Cluster> {
    const cluster = new Cluster(binary, address);
    try {
      await cluster.#start();
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  get admin(): KubernetesClient {
    return this.#admin as KubernetesClient;
  }

  /** What everybody asked of the API server, one JSON object per line. */
  get auditLog(): string {
    return join(this.dir, "audit.log");
  }

  get server(): string {
    return `https://${this.#address ?? "127.0.0.1"}:${this.#ports.api}`;
  }

  /** Whom to trust: the API server's own certificate. */
  get certificate(): string {
    return join(this.dir, "certs/apiserver.crt");
  }

  async #start(): Promise<void> {
    const [etcd = 0, peer = 0, api = 0] = await freePorts(3);
    this.#ports = { etcd, api };
    const keys = generateKeyPairSync("rsa", {
      modulusLength: 2048,
      publicKeyEncoding: { type: "spki", format: "pem" },
      privateKeyEncoding: { type: "pkcs8", format: "pem" },
    });
    writeFileSync(join(this.dir, "sa.key"), keys.privateKey, { mode: 0o600 });
    writeFileSync(join(this.dir, "sa.pub"), keys.publicKey);
    writeFileSync(join(this.dir, "tokens"), `${Cluster.adminToken},admin,1,"system:masters"\n`, {
      mode: 0o600,
    });
    mkdirSync(join(this.dir, "certs"));
    const audit = { apiVersion: "audit.k8s.io/v1", kind: "Policy", rules: [{ level: "Metadata" }] };
    writeFileSync(
      join(this.dir, "audit.yaml"),
      JSON.stringify({ ...audit, omitStages: ["RequestReceived"] }),
    );
    this.#spawn("etcd", [
      `--data-dir=${join(this.dir, "etcd")}`,
      `--listen-client-urls=http://127.0.0.1:${etcd}`,
      `--advertise-client-urls=http://127.0.0.1:${etcd}`,
      `--listen-peer-urls=http://127.0.0.1:${peer}`,
      `--initial-advertise-peer-urls=http://127.0.0.1:${peer}`,
      `--initial-cluster=default=http://127.0.0.1:${peer}`,
      // A power cut may cost this cluster everything.
      "--unsafe-no-fsync",
      "--log-level=error",
    ]);
    await this.startApiServer();
  }

  async startApiServer(more: readonly string[] = []): Promise<void> {
    const file = (name: string): string => join(this.dir, name);
    this.#apiserver = this.#spawn("apiserver", [
      `--etcd-servers=http://127.0.0.1:${this.#ports.etcd}`,
      `--bind-address=${this.#address === undefined ? "127.0.0.1" : "0.0.0.0"}`,
      `--secure-port=${this.#ports.api}`,
      `--cert-dir=${file("certs")}`,
      `--advertise-address=${this.#address ?? "192.0.2.1"}`,
      `--endpoint-reconciler-type=${this.#address === undefined ? "none" : "lease"}`,
      "--authorization-mode=RBAC",
      `--token-auth-file=${file("tokens")}`,
      "--service-account-issuer=https://kubernetes.default.svc",
      `--service-account-key-file=${file("sa.pub")}`,
      `--service-account-signing-key-file=${file("sa.key")}`,
      "--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112",
      "--profiling=false",
      `--audit-policy-file=${file("audit.yaml")}`,
      `--audit-log-path=${this.auditLog}`,
      ...more,
    ]);
    const end = performance.now() + START_LIMIT_MS;
    for (;;) {
      try {
        this.#admin ??= await KubernetesClient.connect(this.kubeconfig("admin", Cluster.adminToken));
        // Ready includes the bootstrap roles, without which nobody may do anything.
        for await (const line of this.#admin.lines("/readyz", 5_000, AbortSignal.timeout(5_000))) {
          if (line !== "ok") throw new Error(line);
        }
        await this.#admin.call("GET", "/api/v1/namespaces/default");
        return;
      } catch (error) {
        const log = join(this.dir, "apiserver.log");
        if (performance.now() > end || this.#apiserver.exitCode !== null) {
          throw new Error(
            `kube-apiserver does not start: ${error}\n${readFileSync(log, "utf8").slice(-3000)}`,
          );
        }
        await sleep(200);
      }
    }
  }

  async killApiServer(): Promise<void> {
    const child = this.#apiserver as ChildProcess;
    const ended = new Promise(resolve => child.once("exit", resolve));
    child.kill("SIGKILL");
    await ended;
  }

  /** A kubeconfig file for this token, or for the token in this file. */
  kubeconfig(
    name: string,
    token: string | { file: string },
    namespace: string = "default",
    server: string = this.server,
  ): string {
    const path = join(this.dir, `${name}.kubeconfig`);
    const user = typeof token === "string" ? { token } : { tokenFile: token.file };
    const authProvider =
      typeof token === "string" ? user : { "auth-provider": { name: "tokenFile", config: user } };
    writeFileSync(
      path,
      JSON.stringify({
        apiVersion: "v1",
        kind: "Config",
        clusters: [
          {
            name: "test",
            cluster: { server, "certificate-authority": this.certificate },
          },
        ],
        users: [{ name, user: authProvider }],
        contexts: [{ name: "test", context: { cluster: "test", user: name, namespace } }],
        "current-context": "test",
      }),
      { mode: 0o600 },
    );
    return path;
  }

  /** A token of a service account, as a pod's volume would hold it. */
  async serviceAccountToken(namespace: string, name: string): Promise<string> {
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`;
    const answer = (await this.admin.call("POST", path, {
      apiVersion: "authentication.k8s.io/v1",
      kind: "TokenRequest",
      spec: { expirationSeconds: 3600 },
    })) as { status: { token: string } };
    return answer.status.token;
  }

  /** Runs kubectl as admin; its output, or an Error with what it complained of. */
  kubectl(args: readonly string[], input = ""): Promise<string> {
    const child = spawn(this.#binary, ["kubectl", ...args], {
      env: {
        PATH: process.env.PATH,
        HOME: this.dir,
        KUBECONFIG: this.kubeconfig("admin", Cluster.adminToken),
      },
    });
    child.stdin.end(input);
    return output(child);
  }

  async stop(): Promise<void> {
    const ended = this.#children.map(child =>
      child.exitCode !== null || child.signalCode !== null
        ? Promise.resolve()
        : new Promise<void>(resolve => {
            child.once("exit", () => resolve());
            child.kill("SIGKILL");
          }),
    );
    await Promise.all(ended);
    rmSync(this.dir, { recursive: true, force: true });
  }

  #spawn(program: string, args: readonly string[]): ChildProcess {
    const log = openSync(join(this.dir, `${program}.log`), "a", 0o600);
    const child = spawn(this.#binary, [program, ...args], { stdio: ["ignore", log, log], cwd: this.dir });
    this.#children.push(child);
    // A test that dies leaves no cluster behind.
    process.once("exit", () => child.kill("SIGKILL"));
    return child;
  }
}

export async function output(child: ChildProcess): Promise<string> {
  let text = "";
  let complaint = "";
  child.stdout?.setEncoding("utf8").on("data", chunk => {
    text += chunk;
  });
  child.stderr?.setEncoding("utf8").on("data", chunk => {
    complaint += chunk;
  });
  const code = await new Promise(resolve => child.once("close", resolve));
  if (code === 0) return text;
  throw new Error(complaint || text);
}

export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      server =>
        new Promise<number>(resolve =>
          server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port)),
        ),
    ),
  );
  await Promise.all(servers.map(server => new Promise(resolve => server.close(resolve))));
  return ports;
}
