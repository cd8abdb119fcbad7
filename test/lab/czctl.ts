/** Drives czctl as a user would: its command line, its defaults, its files. The agent runs without any privilege. */
import { chownSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { DaemonStatus, ServiceRow } from "../../src/api/index.js";
import type { Host } from "./host.js";
import { eventually, type Program, type ProgramOptions, type Result } from "./program.js";
import type { Sandbox } from "./sandbox.js";
import { AGENT_ADDRESS, AGENT_PORT } from "./topology.js";

export const CLI: string = fileURLToPath(new URL("../../bundle/cli/main.js", import.meta.url));
const NOBODY = 65534;

type ExecOptions = ProgramOptions & { timeoutMs?: number };

/** The `czctl` command on one host. */
export class Czctl {
  readonly host: Host;
  /** Of node itself: what `up` starts inherits them. */
  readonly #nodeFlags: readonly string[];

  constructor(host: Host, nodeFlags: readonly string[] = []) {
    this.host = host;
    this.#nodeFlags = nodeFlags;
  }

  exec(args: string[], options: ExecOptions = {}): Promise<Result> {
    return this.host.exec(process.execPath, [CLI, ...args], options);
  }

  run(args: string[], options: ExecOptions = {}): Promise<string> {
    return this.host.run(process.execPath, [CLI, ...args], options);
  }

  async json<T>(args: string[]): Promise<T> {
    return JSON.parse(await this.run([...args, "--json"])) as T;
  }

  status(): Promise<DaemonStatus> {
    return this.json<DaemonStatus>(["status"]);
  }

  services(): Promise<ServiceRow[]> {
    return this.json<ServiceRow[]>(["services", "list"]);
  }

  async up(args: string[] = []): Promise<void> {
    const command = [...this.#nodeFlags, CLI, "up", ...args];
    await this.host.run(process.execPath, command, { timeoutMs: 20_000 });
  }

  /** Supervisor, daemon and data plane end at once, as in a crash of everything. */
  async killAll(): Promise<void> {
    const { supervisorPid, pid, dataplane } = await this.status();
    const pids = [pid, supervisorPid, dataplane?.pid ?? 0].filter(each => each > 1);
    // Nobody lives to see another one die, which even between two signals is time enough to take the names out.
    for (const each of pids) process.kill(each, "SIGSTOP");
    for (const each of pids) {
      try {
        process.kill(each, "SIGKILL");
      } catch (error) {
        // The data plane dies with its parent.
        if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
      }
    }
  }

  /** Until the catalog stream is there (again). */
  waitUntilConnected(timeoutMs = 5_000): Promise<DaemonStatus> {
    return eventually(
      "connected",
      async () => {
        const status = await this.status();
        if (status.link !== "connected" || status.dataplane === null)
          throw new Error(`link is ${status.link}`);
        return status;
      },
      timeoutMs,
    );
  }

  /** The first address of a service as programs on the host see it. */
  async address(name: string): Promise<string> {
    const row = (await this.services()).find(service => `${service.name}.${service.namespace}` === name);
    const address = row?.addresses[0];
    if (address === undefined) throw new Error(`no address for ${name}`);
    return address;
  }
}

/** Drops what there is to drop: the user as well where there is another one. */
export function unprivileged(sandbox: Sandbox, command: string, args: string[]): [string, string[]] {
  const user = sandbox.root ? [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"] : [];
  return ["setpriv", [...user, "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", command, ...args]];
}

export interface AgentOptions {
  name?: string;
  /** The catalog file's text. */
  catalog: string;
  endpoint?: string;
  /** Of node itself, for `agent run` and its data plane. */
  nodeFlags?: readonly string[];
}

export class Agent {
  readonly sandbox: Sandbox;
  readonly host: Host;
  readonly dir: string;
  readonly catalogFile: string;
  readonly #nodeFlags: readonly string[];
  /** The control process; replaced by `start()`. */
  program: Program | undefined;

  private constructor(sandbox: Sandbox, host: Host, dir: string, nodeFlags: readonly string[] = []) {
    this.sandbox = sandbox;
    this.host = host;
    this.dir = join(dir, "state");
    this.catalogFile = join(dir, "services.yaml");
    this.#nodeFlags = nodeFlags;
  }

  /** `agent init`, then `agent run`. */
  static async make(sandbox: Sandbox, host: Host, options: AgentOptions): Promise<Agent> {
    const dir = join(host.dir, options.name ?? "agent");
    mkdirSync(dir);
    if (sandbox.root) chownSync(dir, NOBODY, NOBODY);
    const agent = new Agent(sandbox, host, dir, options.nodeFlags);
    agent.writeCatalog(options.catalog);
    await agent.run(["init", "--endpoint", options.endpoint ?? `${AGENT_ADDRESS}:${AGENT_PORT}`]);
    await agent.start();
    return agent;
  }

  writeCatalog(text: string): void {
    writeFileSync(this.catalogFile, text);
  }

  #command(args: string[]): [string, string[]] {
    const [verb = "", ...rest] = args;
    const flags = verb === "run" ? this.#nodeFlags : [];
    const command = [...flags, CLI, "agent", verb, "--dir", this.dir, ...rest];
    return unprivileged(this.sandbox, process.execPath, command);
  }

  exec(args: string[]): Promise<Result> {
    return this.host.exec(...this.#command(args));
  }

  run(args: string[]): Promise<string> {
    return this.host.run(...this.#command(args));
  }

  async start(): Promise<void> {
    this.program = this.host.spawn(...this.#command(["run", "--catalog", this.catalogFile]));
    const ended = this.program.exited.then(() => {
      throw new Error(`the agent ended\n${this.program?.tail()}`);
    });
    await Promise.race([ended, this.host.waitForPort(AGENT_PORT, "udp")]);
  }

  /** The agent's only child. */
  dataplanePid(): number {
    const pid = this.program?.pid;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
    if (children.length !== 1 || children[0] === "") throw new Error(`children of the agent: ${children}`);
    return Number(children[0]);
  }

  /** A credential file for one device; its path. */
  async invite(name: string, allow: string[] = []): Promise<string> {
    const credential = await this.run(["invite", name, ...allow.flatMap(rule => ["--allow", rule])]);
    const file = join(this.host.dir, `${name}.credential`);
    writeFileSync(file, credential, { mode: 0o600 });
    return file;
  }
}

/** An agent in the cluster, a device on the laptop that consumes everything, connected. */
export async function makeTeamspace(
  lab: { sandbox: Sandbox; laptop: Host; cluster: Host },
  catalog: string,
  nodeFlags: readonly string[] = [],
): Promise<{ agent: Agent; czctl: Czctl }> {
  const agent = await Agent.make(lab.sandbox, lab.cluster, { catalog, nodeFlags });
  const czctl = new Czctl(lab.laptop, nodeFlags);
  await czctl.run(["space", "add", await agent.invite("laptop")]);
  await czctl.up();
  await czctl.waitUntilConnected();
  return { agent, czctl };
}
