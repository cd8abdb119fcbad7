/** Calls the daemon (`api/daemon.ts`); without one, performs what needs only the state file. */
import { request } from "node:http";
import {
  API_PREFIX,
  type DaemonOperations,
  type ErrorBody,
  type OperationName,
  type Settings,
} from "../api/index.js";
import { CzctlError } from "../base/index.js";

type Request<Name extends OperationName> = DaemonOperations[Name]["request"];
type Response<Name extends OperationName> = DaemonOperations[Name]["response"];

/** Operations that work without a daemon. */
export type OfflineOperation = Exclude<OperationName, "status" | "services" | "flows" | "metrics" | "stop">;

export const DAEMON_NOT_RUNNING = "DAEMON_NOT_RUNNING";

/** Throws CzctlError: what the daemon answered, or DAEMON_NOT_RUNNING. */
export async function callDaemon<Name extends OperationName>(
  settings: Settings,
  name: Name,
  body: Request<Name>,
): Promise<Response<Name>> {
  const { status, text } = await post(settings.socketPath, API_PREFIX + name, JSON.stringify(body));
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new CzctlError("the daemon's answer is not JSON", { code: "BAD_ANSWER", category: "internal" });
  }
  if (status === 200) return answer as Response<Name>;
  const { error } = answer as ErrorBody;
  throw new CzctlError(error.message, error);
}

/** By the daemon if one runs, else by this process under the state directory's lock. */
export async function perform<Name extends OfflineOperation>(
  settings: Settings,
  name: Name,
  body: Request<Name>,
): Promise<Response<Name>> {
  try {
    return await callDaemon(settings, name, body);
  } catch (error) {
    if (!isNotRunning(error)) throw error;
  }
  const { loadTools } = await import("../daemon/index.js");
  const { performOffline } = await loadTools();
  return performOffline(settings, name, body);
}

export function isNotRunning(error: unknown): boolean {
  return error instanceof CzctlError && error.code === DAEMON_NOT_RUNNING;
}

function post(socketPath: string, path: string, body: string): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const call = request(
      {
        socketPath,
        path,
        method: "POST",
        headers: { host: "daemon", "content-type": "application/json" },
        agent: false,
      },
      response => {
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (chunk: string) => {
          text += chunk;
        });
        response.on("end", () => resolve({ status: response.statusCode ?? 0, text }));
        response.on("error", error => reject(unreachable(socketPath, error)));
      },
    );
    call.on("error", error => reject(unreachable(socketPath, error)));
    call.end(body);
  });
}

function unreachable(socketPath: string, error: NodeJS.ErrnoException): CzctlError {
  if (error.code === "EACCES" || error.code === "EPERM") {
    return new CzctlError(`no permission to talk to the daemon (${socketPath})`, {
      code: "PERMISSION_DENIED",
      category: "environment",
      hint: "Run it with sudo, or join the group `czctl`.",
    });
  }
  if (error.code === "ENOENT" || error.code === "ECONNREFUSED") {
    return new CzctlError("czctl is not running", {
      code: DAEMON_NOT_RUNNING,
      category: "environment",
      hint: "Start it with `sudo czctl up`.",
      cause: error,
    });
  }
  return new CzctlError(`the daemon does not answer: ${error.message}`, {
    code: "DAEMON_UNREACHABLE",
    category: "environment",
    hint: "See `czctl logs`.",
    cause: error,
  });
}
