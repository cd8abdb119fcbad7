import { chmodSync, mkdtempSync } from "node:fs";
import { join } from "node:path";
import { catalogText } from "../../test/lab/catalog.js";
import { type Agent, type Czctl, makeTeamspace } from "../../test/lab/czctl.js";
import type { Sandbox } from "../../test/lab/sandbox.js";
import type { Topology } from "../../test/lab/topology.js";
import { type Contender, type Running, SERVICE_ADDRESS, SERVICE_PORTS } from "../contender.js";

export interface RunningCzctl extends Running {
  /** The command on the laptop. */
  cli: Czctl;
  agent: Agent;
  /** Where its processes may write what they are told to. */
  dir: string;
}

interface CzctlContender extends Contender {
  start(sandbox: Sandbox, topology: Topology): Promise<RunningCzctl>;
}

const AEAD_CLOCK: URL = new URL("../programs/aead-clock.js", import.meta.url);

/** @param nodeFlags of its processes, given `RunningCzctl.dir` */
const contender = (nodeFlags: (dir: string) => readonly string[]): CzctlContender => ({
  name: "czctl",
  needs: ["/dev/net/tun"],
  async start(sandbox, { laptop, cluster }) {
    const catalog = catalogText([
      {
        namespace: "bench",
        name: "speed",
        clusterIps: [SERVICE_ADDRESS],
        ports: SERVICE_PORTS.flatMap(port => [
          { name: `t${port}`, protocol: "TCP" as const, port },
          { name: `u${port}`, protocol: "UDP" as const, port },
        ]),
      },
    ]);
    const dir = mkdtempSync(join(sandbox.dir, "czctl-"));
    // Data planes give up their user.
    chmodSync(dir, 0o777);
    const { agent, czctl } = await makeTeamspace({ sandbox, laptop, cluster }, catalog, nodeFlags(dir));
    return {
      cli: czctl,
      agent,
      dir,
      target: await czctl.address("speed.bench"),
      async pids() {
        const { dataplane } = await czctl.status();
        return [dataplane?.pid ?? 0, agent.dataplanePid()].filter(pid => pid > 0);
      },
    };
  },
});

export const czctl: CzctlContender = contender(() => []);
/** Its processes write a line per garbage collection. */
export const tracedCzctl: CzctlContender = contender(() => ["--trace-gc"]);
/** Its data planes write down what the AEAD takes of their time. */
export const clockedCzctl: CzctlContender = contender(dir => [`--import=${AEAD_CLOCK}?dir=${dir}`]);
