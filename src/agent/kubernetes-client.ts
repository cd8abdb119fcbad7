/**
 * Requests to a Kubernetes API server. Where it is, whom to trust and how to log in is client-node's business
 * (kubeconfig, in-cluster token files, exec plug-ins, proxies); the requests are plain HTTPS, since objects are
 * wanted as they come: client-node's typed calls copy each into classes, which thousands of endpoints feel.
 *
 * client-node is loaded when first needed: it takes longer to load than most commands to run.
 */
import type { IncomingMessage, RequestOptions } from "node:http";
import { request as httpRequest } from "node:http";
import { request as httpsRequest } from "node:https";
import type { KubeConfig } from "@kubernetes/client-node";
import { CzctlError } from "../base/index.js";
import { KubernetesError } from "./discovery/resource-watch.js";

/** Of silence, then the request is given up. */
const ANSWER_TIMEOUT_MS = 30_000;
/** A dead path is found by TCP's keep-alive, after this and ten probes a second apart. */
const KEEP_ALIVE_MS = 15_000;

export type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

export class KubernetesClient {
  readonly #load: () => KubeConfig;
  #config: KubeConfig;
  /** Namespace of the kubeconfig's context, or that of the pod. */
  readonly namespace: string | undefined;

  /** @param kubeconfig a path; without it: in a pod its service account, elsewhere $KUBECONFIG or ~/.kube/config */
  static async connect(kubeconfig?: string): Promise<KubernetesClient> {
    const { KubeConfig } = await import("@kubernetes/client-node");
    const client = new KubernetesClient(() => {
      const config = new KubeConfig();
      if (kubeconfig !== undefined) config.loadFromFile(kubeconfig);
      else if (process.env.KUBERNETES_SERVICE_HOST && !process.env.KUBECONFIG) config.loadFromCluster();
      else config.loadFromDefault();
      return config;
    });
    if (!/^https?:\/\//.test(client.server)) throw unusable("it names no cluster");
    return client;
  }

  private constructor(load: () => KubeConfig) {
    this.#load = load;
    try {
      this.#config = load();
    } catch (cause) {
      throw unusable((cause as Error).message, cause);
    }
    this.namespace = this.#config.getContextObject(this.#config.getCurrentContext())?.namespace;
  }

  get server(): string {
    return this.#config.getCurrentCluster()?.server ?? "";
  }

  /** The answer's object. Throws KubernetesError when the server says no. */
  async call(method: Method, path: string, body?: unknown, signal?: AbortSignal): Promise<unknown> {
    const response = await this.#send(method, path, body, signal);
    return JSON.parse(await readAll(response));
  }

  /** An answer that goes on: its lines as they come. */
  async *lines(path: string, idleMs: number, signal: AbortSignal): AsyncGenerator<string> {
    const response = await this.#send("GET", path, undefined, signal);
    response.setTimeout(idleMs, () => response.destroy(new Error("nothing heard from the API server")));
    response.setEncoding("utf8");
    let rest = "";
    for await (const chunk of response as AsyncIterable<string>) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop() as string;
      yield* lines.filter(line => line !== "");
    }
  }

  #reload(): KubeConfig {
    try {
      return this.#load();
    } catch {
      return this.#config;
    }
  }

  async #send(method: Method, path: string, body: unknown, signal?: AbortSignal): Promise<IncomingMessage> {
    const url = new URL(`${this.server.replace(/\/$/, "")}${path}`);
    const options: RequestOptions = {
      method,
      headers: { accept: "application/json", "user-agent": "czctl" },
      timeout: ANSWER_TIMEOUT_MS,
    };
    // Anew for each request: tokens are renewed under our hands.
    await this.#config.applyToHTTPSOptions(options);
    const text = body === undefined ? undefined : JSON.stringify(body);
    const headers = options.headers as Record<string, string>;
    if (text !== undefined) {
      headers["content-type"] = method === "PATCH" ? "application/apply-patch+yaml" : "application/json";
      headers["content-length"] = String(Buffer.byteLength(text));
    }
    if (signal !== undefined) options.signal = signal;
    const send = url.protocol === "https:" ? httpsRequest : httpRequest;
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const req = send(url, options, resolve);
      req.setSocketKeepAlive(true, KEEP_ALIVE_MS);
      req.on("timeout", () => req.destroy(new Error("the API server does not answer")));
      req.on("error", cause => reject(unreachable(url.origin, cause)));
      req.end(text);
    });
    const status = response.statusCode ?? 0;
    if (status >= 200 && status < 300) return response;
    // client-node keeps a token file's content for a minute; this token has just been refused.
    if (status === 401) this.#config = this.#reload();
    throw await asError(response, status);
  }
}

async function asError(response: IncomingMessage, status: number): Promise<KubernetesError> {
  const text = await readAll(response).catch(() => "");
  let message = `the API server answered ${status}`;
  try {
    message = (JSON.parse(text) as { message?: string }).message ?? message;
  } catch {
    // A proxy's page, most likely.
  }
  return new KubernetesError(message, status);
}

async function readAll(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks).toString("utf8");
}

function unreachable(server: string, cause: Error): CzctlError {
  return new CzctlError(`cannot reach ${server}: ${cause.message}`, {
    code: "KUBERNETES_UNREACHABLE",
    category: "environment",
    cause,
  });
}

function unusable(why: string, cause?: unknown): CzctlError {
  return new CzctlError(`no usable kubeconfig: ${why}`, {
    code: "KUBECONFIG_INVALID",
    category: "config",
    hint: "Name one with --kubeconfig FILE or KUBECONFIG, or run the agent in a pod.",
    cause,
  });
}
