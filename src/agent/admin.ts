/**
 * The agent's own door for `czctl agent …` commands: HTTP over a Unix socket that only the agent's user can
 * reach. `POST /v1/reload` takes up peers.json and answers when the data plane has confirmed it, so that
 * "revoked" on the screen is true; `GET /v1/status` is the data plane's status.
 */
import { chmod } from "node:fs/promises";
import { createServer, request, type Server } from "node:http";
import * as z from "zod";
import type { DataplaneStatus } from "../api/index.js";
import { CzctlError } from "../base/index.js";
import { readRunningAgent } from "./locks.js";

/** Longer than a restart of the data plane takes. */
const ANSWER_TIMEOUT_MS = 8_000;

export interface AdminHandler {
  reload(): Promise<void>;
  status(): Promise<DataplaneStatus>;
}

export async function startAdmin(socketPath: string, handler: AdminHandler): Promise<Server> {
  const routes: Record<string, () => Promise<unknown>> = {
    "POST /v1/reload": () => handler.reload(),
    "GET /v1/status": () => handler.status(),
  };
  const server = createServer((req, res) => {
    const reply = (status: number, body: unknown): void => {
      res.writeHead(status, { "content-type": "application/json", connection: "close" });
      res.end(JSON.stringify(body ?? {}));
    };
    const route = routes[`${req.method} ${req.url}`];
    if (route === undefined) {
      reply(404, { code: "NOT_FOUND", category: "internal", message: "no such request" });
    } else {
      route().then(
        body => reply(200, body),
        (error: unknown) => reply(503, describe(error)),
      );
    }
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(socketPath, resolve);
  });
  await chmod(socketPath, 0o600);
  return server;
}

const failure = z.object({
  code: z.string(),
  category: z.enum(["user", "config", "environment", "internal"]),
  message: z.string(),
  hint: z.string().optional(),
});

function describe(error: unknown): z.infer<typeof failure> {
  if (error instanceof CzctlError) return error.toJSON();
  return { code: "AGENT_INTERNAL", category: "internal", message: String(error) };
}

/** Makes the running agent take up peers.json. False when no agent runs. */
export async function pokeAgent(dir: string): Promise<boolean> {
  return (await call(dir, "POST", "/v1/reload")) !== null;
}

/** The data plane's status, or null when no agent runs. */
export async function liveStatus(dir: string): Promise<DataplaneStatus | null> {
  return (await call(dir, "GET", "/v1/status")) as DataplaneStatus | null;
}

async function call(dir: string, method: string, path: string): Promise<unknown> {
  const socketPath = readRunningAgent(dir)?.adminSocket;
  if (socketPath === undefined) return null;
  return new Promise((resolve, reject) => {
    const noAnswer = (cause?: unknown): CzctlError =>
      new CzctlError("the running agent does not answer", {
        code: "AGENT_NOT_ANSWERING",
        category: "environment",
        hint: "The files are changed; it takes them up by itself, or after a restart.",
        cause,
      });
    const req = request({ socketPath, method, path, timeout: ANSWER_TIMEOUT_MS }, res => {
      const chunks: Buffer[] = [];
      res.on("data", (chunk: Buffer) => chunks.push(chunk));
      res.on("error", cause => reject(noAnswer(cause)));
      res.on("end", () => {
        try {
          const body: unknown = JSON.parse(Buffer.concat(chunks).toString("utf8"));
          if (res.statusCode === 200) return resolve(body);
          const { message, hint, ...rest } = failure.parse(body);
          reject(new CzctlError(message, hint === undefined ? rest : { ...rest, hint }));
        } catch (cause) {
          reject(noAnswer(cause));
        }
      });
    });
    req.on("timeout", () => req.destroy(new Error("timeout")));
    req.on("error", (cause: NodeJS.ErrnoException) => {
      // Nobody listens: the lock file is what a dead agent left.
      if (cause.code === "ECONNREFUSED" || cause.code === "ENOENT") resolve(null);
      else reject(noAnswer(cause));
    });
    req.end();
  });
}
