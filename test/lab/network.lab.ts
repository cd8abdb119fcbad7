/** The laboratory itself: the three hosts, and a tunnel of software that we did not write between them. */
import { existsSync } from "node:fs";
import { assert, assertEqual, lab } from "./lab.js";
import {
  AGENT_ADDRESS,
  AGENT_ADDRESS_6,
  AGENT_PORT,
  addClusterAddresses,
  addLaptop,
  LAPTOP_HOSTS,
} from "./topology.js";
import { joinByWireguardGo } from "./wireguard-go.js";

/** Prints the process id of a child that outlives it and keeps its output open. */
const LEAVE_A_CHILD = "setsid sleep 1000 & echo $!";

await lab(import.meta.url, async ({ laptop, internet, cluster, hosts, sandbox, check }) => {
  await check("laptop and cluster reach each other over IPv4 and IPv6", async () => {
    const connect =
      'const [h,p]=process.argv.slice(1);require("net").connect(p,h).on("connect",()=>process.exit(0))';
    const listen = 'require("net").createServer().listen(7000,"::")';
    cluster.spawn("node", ["-e", listen]);
    await cluster.waitForPort(7000);
    for (const address of [AGENT_ADDRESS, AGENT_ADDRESS_6]) {
      await laptop.run("node", ["-e", connect, address, "7000"], { timeoutMs: 5_000 });
    }
    return undefined;
  });
  await check("each host has its own names, run directory and state directory", async () => {
    laptop.writeEtc("hosts", `${LAPTOP_HOSTS}\n192.0.2.77 only-here\n`);
    const found = await laptop.run("getent", ["ahostsv4", "only-here"]);
    assert(found.startsWith("192.0.2.77 "), `getent said ${found}`);
    assertEqual((await internet.exec("getent", ["ahostsv4", "only-here"])).code, 2, "exit code elsewhere");
    laptop.writeEtc("hosts", LAPTOP_HOSTS);
    await laptop.run("sh", ["-c", "touch /run/mine /var/lib/mine"]);
    assertEqual((await cluster.exec("ls", ["/run/mine", "/var/lib/mine"])).stdout, "", "the cluster's own");
    return undefined;
  });
  await check("the laptop has no route into the cluster", async () => {
    await addClusterAddresses(cluster, ["10.96.0.9", "fd00:96::9"]);
    const result = await laptop.exec("ping", ["-c1", "-W1", "10.96.0.9"]);
    assert(result.code !== 0, "10.96.0.9 answered without a tunnel");
    return undefined;
  });
  await check(
    "wireguard-go carries a connection to a cluster address",
    async () => {
      await joinByWireguardGo(cluster, laptop, `${AGENT_ADDRESS}:${AGENT_PORT}`);
      cluster.spawn("node", [
        "-e",
        'require("http").createServer((q,r)=>r.end("through")).listen(80,"10.96.0.9")',
      ]);
      await cluster.waitForPort(80);
      const body = await laptop.run("curl", ["-sS", "--max-time", "5", "http://10.96.0.9/"]);
      assertEqual(body, "through", "body");
      return undefined;
    },
    { needs: ["/dev/net/tun", "wireguard-go", "wg", "curl"] },
  );
  await check(
    "a host's end is the end of all that its programs left behind",
    async () => {
      const host = await addLaptop({ hosts, internet }, sandbox, 1);
      const { code, stdout } = await host.exec("sh", ["-c", `${LEAVE_A_CHILD}; exit 3`]);
      assertEqual(code, 3, "exit code of a program that leaves a child");
      const lasting = host.spawn("sh", ["-c", `${LEAVE_A_CHILD}; wait`]);
      const [line] = await lasting.waitForLine(/\d+\n/);
      const children = [stdout, line].map(Number);
      const alive = (): number[] => children.filter(pid => existsSync(`/proc/${pid}/ns/net`));
      assertEqual(alive(), children, "the children before");
      await host.close();
      assertEqual(alive(), [], "the children afterwards");
      return undefined;
    },
    { timeoutMs: 15_000 },
  );
});
