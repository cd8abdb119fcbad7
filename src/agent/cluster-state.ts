/**
 * The agent's directory as a mirror of its cluster: agent.json and peers.json out of a Secret, policy.yaml out
 * of a ConfigMap, followed by watches. So any replica serves any device, and what an administrator changes is
 * in force within a second; a mounted volume would take a minute.
 *
 * The agent only reads. `czctl space …` writes, with the administrator's rights. A ConfigMap that is not there
 * is a policy that grants nothing; a Secret that vanishes later leaves the last good devices.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CzctlError, type Logger } from "../base/index.js";
import type { KubernetesObject } from "./discovery/kubernetes-objects.js";
import { resourceApi } from "./discovery/resource-api.js";
import {
  KubernetesError,
  ResourceWatch,
  systemClock,
  type WatchHandler,
} from "./discovery/resource-watch.js";
import type { KubernetesClient } from "./kubernetes-client.js";
import { EMPTY_POLICY, policyPath } from "./policy-file.js";
import { parseAgentConfig, parsePeers, replaceFile } from "./state.js";

export interface ClusterStateOptions {
  client: KubernetesClient;
  /** Where Secret and ConfigMap are. */
  namespace: string;
  dir: string;
  secret: string;
  policy?: string;
  log: Logger;
}

interface WithData extends KubernetesObject {
  data?: Record<string, string>;
}

export class ClusterState {
  readonly #options: ClusterStateOptions;
  readonly #stop = new AbortController();
  readonly #written = new Map<string, string>();
  /** One write after the other. */
  #work: Promise<void> = Promise.resolve();

  constructor(options: ClusterStateOptions) {
    this.#options = options;
  }

  /** Resolves when the directory holds what the cluster says; throws CzctlError when it says nothing. */
  async start(): Promise<void> {
    const { dir, secret, policy } = this.#options;
    await mkdir(dir, { recursive: true, mode: 0o700 });
    const first = [this.#follow("secrets", secret, object => this.#takeSecret(object))];
    if (policy !== undefined) {
      first.push(this.#follow("configmaps", policy, object => this.#takePolicy(object)));
    }
    try {
      await Promise.all(first);
      await this.#work;
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  stop(): void {
    this.#stop.abort();
  }

  #follow(
    resource: "secrets" | "configmaps",
    name: string,
    take: (object: WithData | null) => void,
  ): Promise<void> {
    const { client, namespace, log } = this.#options;
    return new Promise<void>((resolve, reject) => {
      this.#stop.signal.addEventListener("abort", () => resolve(), { once: true });
      const attempt = (object: WithData | null): void => {
        try {
          take(object);
        } catch (error) {
          // At the start it ends the run; later the promise has been kept and this is only a line.
          reject(error);
          log.error(`${(error as Error).message}; the last good state stands`);
        }
      };
      const handler: WatchHandler = {
        replace: ([object]) => {
          attempt((object as WithData | undefined) ?? null);
          resolve();
        },
        set: object => attempt(object as WithData),
        delete: () => attempt(null),
        failed: (error, delayMs) => {
          log.warn("kubernetes: cannot watch", {
            resource: `${resource}/${name}`,
            why: error.message,
            delayMs,
          });
          if (error instanceof KubernetesError && error.status === 403) reject(notAllowed(error));
        },
        recovered: () => log.info("kubernetes: watches again", { resource: `${resource}/${name}` }),
      };
      const api = resourceApi(client, { group: "/api/v1", resource, namespace, name }, systemClock);
      void new ResourceWatch(api, handler, systemClock).run(this.#stop.signal);
    });
  }

  #takeSecret(object: WithData | null): void {
    const { namespace, secret } = this.#options;
    const where = `Secret ${namespace}/${secret}`;
    const files = object?.data;
    if (files?.["agent.json"] === undefined || files["peers.json"] === undefined) {
      throw new CzctlError(
        `${where} ${files === undefined ? "is missing" : "lacks agent.json or peers.json"}`,
        {
          code: "AGENT_SECRET_MISSING",
          category: "config",
          hint: "Run: czctl space install",
        },
      );
    }
    const decode = (text: string): string => Buffer.from(text, "base64").toString("utf8");
    // Both are judged before either is written.
    const config = parseAgentConfig(decode(files["agent.json"]), where);
    const peers = parsePeers(decode(files["peers.json"]), where);
    this.#write("agent.json", files["agent.json"], path => replaceFile(path, config));
    this.#write("peers.json", files["peers.json"], path => replaceFile(path, { version: 1, peers }));
  }

  #takePolicy(object: WithData | null): void {
    const text = object?.data?.["policy.yaml"] ?? EMPTY_POLICY;
    const path = policyPath(this.#options.dir);
    this.#write("policy.yaml", text, () => writeFile(path, text, { mode: 0o600 }));
  }

  #write(file: string, text: string, write: (path: string) => Promise<void>): void {
    if (this.#written.get(file) === text) return;
    this.#written.set(file, text);
    this.#work = this.#work
      .then(() => write(join(this.#options.dir, file)))
      .catch((error: Error) => this.#options.log.error(`cannot write ${file}: ${error.message}`));
  }
}

function notAllowed(cause: KubernetesError): CzctlError {
  return new CzctlError(`the agent may not read its own state: ${cause.message}`, {
    code: "KUBERNETES_FORBIDDEN",
    category: "config",
    hint: "Install the agent's Role (deploy/).",
    cause,
  });
}
