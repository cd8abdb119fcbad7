/**
 * The daemon's side of `api/daemon.ts`: HTTP on a Unix socket. It knows the transport, not the operations.
 * Who may talk to it is decided by the socket, mode 0660: its owner is the user who ran sudo (else root), its
 * group `czctl` if there is such a group (else root's).
 */
import { chmodSync, chownSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { API_PREFIX, type DaemonOperations, type ErrorBody, type OperationName } from "../api/index.js";
import { CzctlError, type Logger } from "../base/index.js";
import { isListening, removeSocket } from "./unix-socket.js";
import { messageOf } from "./warnings.js";

const BODY_LIMIT_BYTES = 4 * 1024 * 1024;

/** For answers under way when the daemon ends. */
const CLOSE_MS = 500;

export type Handlers = {
  [Name in OperationName]: (
    request: DaemonOperations[Name]["request"],
  ) => DaemonOperations[Name]["response"] | Promise<DaemonOperations[Name]["response"]>;
};

/** Listens on `socketPath`; a stale socket there is replaced (the caller holds the daemon's lock). */
export async function serveApi(socketPath: string, handlers: Handlers, log: Logger): Promise<Server> {
  if (await isListening(socketPath)) {
    throw new CzctlError(`another daemon answers on ${socketPath}`, {
      code: "SOCKET_TAKEN",
      category: "environment",
      hint: "Choose another path with --socket.",
    });
  }
  removeSocket(socketPath);
  const server = createServer((request, response) => {
    answer(request, response, handlers, log).catch(error => log.error("API answer failed", { error }));
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", error =>
      reject(
        new CzctlError(`cannot listen on ${socketPath}: ${error.message}`, {
          code: "SOCKET_UNUSABLE",
          category: "environment",
          hint: "Choose another path with --socket.",
        }),
      ),
    );
    // Nobody may connect between bind and chmod.
    const umask = process.umask(0o777);
    server.listen(socketPath, resolve);
    process.umask(umask);
  });
  const { uid, gid } = socketOwner(process.env, readGroups());
  try {
    chownSync(socketPath, uid, gid);
  } catch (error) {
    log.warn("cannot give the API socket to its users; only root may use it", { uid, gid, error });
  }
  chmodSync(socketPath, 0o660);
  return server;
}

/** After the answers under way. */
export async function closeApi(server: Server): Promise<void> {
  await new Promise<void>(resolve => {
    server.close(() => resolve());
    server.closeIdleConnections();
    // A request that never ends keeps nothing alive.
    setTimeout(() => server.closeAllConnections(), CLOSE_MS);
  });
}

/**
 * Who may steer the daemon besides root. Not the group of the user who ran sudo: on some systems all users
 * share one.
 * @param groups content of /etc/group
 */
export function socketOwner(env: NodeJS.ProcessEnv, groups: string): { uid: number; gid: number } {
  const gid = /^czctl:[^:]*:(\d+):/m.exec(groups)?.[1];
  return { uid: /^\d+$/.test(env.SUDO_UID ?? "") ? Number(env.SUDO_UID) : 0, gid: Number(gid ?? 0) };
}

function readGroups(): string {
  try {
    return readFileSync("/etc/group", "utf8");
  } catch {
    return "";
  }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  handlers: Handlers,
  log: Logger,
): Promise<void> {
  const name = (request.url ?? "").slice(API_PREFIX.length);
  try {
    if (request.method !== "POST" || !request.url?.startsWith(API_PREFIX) || !Object.hasOwn(handlers, name)) {
      throw new CzctlError(`no such operation: ${request.method} ${request.url}`, {
        code: "UNKNOWN_OPERATION",
        category: "user",
        hint: "czctl and its daemon have different versions: run `czctl restart`.",
      });
    }
    const handler = handlers[name as OperationName] as (body: unknown) => unknown;
    send(response, 200, await handler(await readBody(request)));
  } catch (error) {
    if (!(error instanceof CzctlError)) log.error("operation failed", { name, error });
    send(
      response,
      error instanceof CzctlError && error.category !== "internal" ? 400 : 500,
      errorBody(error),
    );
  }
}

export function errorBody(error: unknown): ErrorBody {
  if (error instanceof CzctlError) return { error: error.toJSON() };
  const message = messageOf(error);
  return { error: { code: "INTERNAL", category: "internal", message, hint: "See `czctl logs`." } };
}

function send(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { "content-type": "application/json", connection: "close" });
  response.end(JSON.stringify(body));
}

async function readBody(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > BODY_LIMIT_BYTES) throw badRequest("too long");
    chunks.push(chunk);
  }
  if (bytes === 0) return {};
  try {
    return JSON.parse(Buffer.concat(chunks).toString("utf8"));
  } catch {
    throw badRequest("not JSON");
  }
}

function badRequest(why: string): CzctlError {
  return new CzctlError(`bad request: ${why}`, { code: "BAD_REQUEST", category: "user" });
}
