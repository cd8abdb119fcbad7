/** `kill -9` of each process in turn: what the user sees, and that nothing stale stays for more than 2 s. */
import { fileURLToPath } from "node:url";
import type { DaemonStatus } from "../../src/api/index.js";
import { catalogText } from "./catalog.js";
import { type Agent, type Czctl, makeTeamspace } from "./czctl.js";
import { assert, assertEqual, type Lab, lab } from "./lab.js";
import { eventually } from "./program.js";
import { AGENT_PORT, addClusterAddresses, LAPTOP_HOSTS } from "./topology.js";

const SERVICE = fileURLToPath(new URL("../../demo/service.js", import.meta.url));
const ADDRESS = "10.96.0.30";
const LIMIT_MS = 2_000;

const catalog = catalogText([
  {
    namespace: "shop",
    name: "frontend",
    clusterIps: [ADDRESS],
    ports: [{ name: "http", protocol: "TCP", port: 80 }],
  },
]);

/** Processes are named by the status that they gave themselves; nothing else is ever killed here. */
function kill(pid: number | undefined): number {
  assert(pid !== undefined && pid > 1, `no such process id: ${pid}`);
  process.kill(pid, "SIGKILL");
  return performance.now();
}

async function works({ laptop }: Lab): Promise<void> {
  const result = await laptop.exec("curl", ["-sS", "--fail", "--max-time", "2", "http://frontend.shop/"]);
  if (result.code !== 0) throw new Error(result.stderr.trim());
}

async function nothingLeft({ laptop }: Lab, before: DaemonStatus): Promise<void> {
  assertEqual(laptop.readHosts(), LAPTOP_HOSTS, "hosts file");
  const links = await laptop.run("ip", ["-o", "link"]);
  assert(!links.includes(before.device.name), `device still there: ${links}`);
  const routes = `${await laptop.run("ip", ["route"])}${await laptop.run("ip", ["-6", "route"])}`;
  for (const range of before.device.ranges) assert(!routes.includes(range), `route still there: ${range}`);
}

/** A one-line message and a hint, not a stack. */
async function explains(czctl: Czctl): Promise<string> {
  const { code, stderr } = await czctl.exec(["status"]);
  assert(code !== 0, "status says that all is well");
  const lines = stderr.trim().split("\n");
  assert(lines.length <= 2 && !/^\s+at /m.test(stderr), `status says: ${stderr}`);
  return lines.join(" / ");
}

async function backWithin(l: Lab, since: number): Promise<string> {
  await eventually("frontend.shop answers again", () => works(l), LIMIT_MS);
  return `back after ${Math.round(performance.now() - since)} ms`;
}

async function killedOnTheLaptop(l: Lab, czctl: Czctl): Promise<void> {
  await l.check("data plane killed: the daemon starts another", async () => {
    const before = await czctl.status();
    const remark = await backWithin(l, kill(before.dataplane?.pid));
    const after = await czctl.waitUntilConnected();
    assertEqual(after.pid, before.pid, "the daemon's process id");
    assertEqual(after.dataplaneRestarts, before.dataplaneRestarts + 1, "restarts");
    return remark;
  });
  await l.check("daemon killed: the supervisor starts another", async () => {
    const before = await czctl.status();
    const remark = await backWithin(l, kill(before.pid));
    const after = await czctl.waitUntilConnected();
    assertEqual(after.supervisorPid, before.supervisorPid, "the supervisor's process id");
    assertEqual(after.device.ranges, before.device.ranges, "ranges");
    return remark;
  });
  await l.check("device deleted: it comes back", async () => {
    const before = await czctl.status();
    const since = performance.now();
    await l.laptop.run("ip", ["link", "del", before.device.name]);
    const remark = await backWithin(l, since);
    const after = await czctl.waitUntilConnected();
    assertEqual(after.supervisorPid, before.supervisorPid, "the supervisor's process id");
    assertEqual(after.device.ranges, before.device.ranges, "ranges");
    return remark;
  });
  await l.check("supervisor killed: everything is gone, and the command says so", async () => {
    const before = await czctl.status();
    const since = kill(before.supervisorPid);
    await eventually("nothing left", () => nothingLeft(l, before), LIMIT_MS);
    const gone = Math.round(performance.now() - since);
    return `gone after ${gone} ms; status: ${await explains(czctl)}`;
  });
  await l.check("up again after that", async () => {
    await czctl.up();
    await eventually("frontend.shop answers", () => works(l), LIMIT_MS);
    return undefined;
  });
  await l.check("all three killed at once: cleanup leaves nothing", async () => {
    const before = await czctl.status();
    for (const pid of [before.supervisorPid, before.pid, before.dataplane?.pid]) kill(pid);
    await czctl.run(["cleanup"]);
    await eventually("nothing left", () => nothingLeft(l, before), LIMIT_MS);
    return undefined;
  });
  await l.check("all three killed at once: the next up starts from clean", async () => {
    await czctl.up();
    const before = await czctl.status();
    for (const pid of [before.supervisorPid, before.pid, before.dataplane?.pid]) kill(pid);
    await czctl.up();
    await eventually("frontend.shop answers", () => works(l), LIMIT_MS);
    assertEqual(l.laptop.readHosts().split("# CODEZERO").length, 2, "sections + 1");
    return undefined;
  });
}

async function killedInTheCluster(l: Lab, czctl: Czctl, agent: Agent): Promise<void> {
  await l.check(
    "agent killed: its data plane goes too, open connections end, and a new agent is found",
    async () => {
      const pid = agent.program?.pid;
      kill(pid);
      await eventually("the port is free", async () => {
        const sockets = await l.cluster.run("cat", [`/proc/${l.cluster.pid}/net/udp`]);
        const port = AGENT_PORT.toString(16).toUpperCase();
        assert(!sockets.includes(`:${port}`), "somebody still listens");
      });
      await agent.start();
      const since = performance.now();
      await eventually("frontend.shop answers again", () => works(l), 5_000);
      await czctl.waitUntilConnected(10_000);
      return `back ${Math.round(performance.now() - since)} ms after the start`;
    },
  );
}

await lab(import.meta.url, async l => {
  await addClusterAddresses(l.cluster, [ADDRESS]);
  const server = l.cluster.spawn(process.execPath, [SERVICE, "http", ADDRESS, "80", "frontend"]);
  await server.waitForLine(/ready/);
  const { agent, czctl } = await makeTeamspace(l, catalog);
  const ok = await l.check("frontend.shop answers", async () => {
    await works(l);
    return undefined;
  });
  if (!ok) return;
  await killedOnTheLaptop(l, czctl);
  await killedInTheCluster(l, czctl, agent);
  await l.check("down after all that", async () => {
    const before = await czctl.status();
    await czctl.run(["down"]);
    await nothingLeft(l, before);
    return undefined;
  });
});
