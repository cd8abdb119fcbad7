/** A revoked device: its open connections die within a second, new ones are refused, others notice nothing. */
import { fileURLToPath } from "node:url";
import { catalogText } from "./catalog.js";
import { makeTeamspace } from "./czctl.js";
import { assert, assertEqual, lab } from "./lab.js";
import { addClusterAddresses } from "./topology.js";
import { startStandardClient } from "./wireguard-go.js";

const SERVICE = fileURLToPath(new URL("../../demo/service.js", import.meta.url));
const CLIENT = fileURLToPath(new URL("../../demo/client.js", import.meta.url));
const ADDRESS = "10.96.0.30";
const LIMIT_MS = 1_000;
const ENDLESS = "http://frontend.shop/bytes/1000000000000";

const CATALOG = catalogText([
  {
    namespace: "shop",
    name: "frontend",
    clusterIps: [ADDRESS],
    ports: [{ name: "http", protocol: "TCP", port: 80 }],
  },
]);

await lab(import.meta.url, async ({ laptop, internet, cluster, sandbox, check }) => {
  await addClusterAddresses(cluster, [ADDRESS]);
  const server = cluster.spawn(process.execPath, [SERVICE, "http", ADDRESS, "80", "frontend"]);
  await server.waitForLine(/ready/);
  const { agent, czctl } = await makeTeamspace({ sandbox, laptop, cluster }, CATALOG);
  // Fast enough to read out within the second what the kernel holds when the reset comes.
  const limited = ["-sS", "--limit-rate", "100M", "-o", "/dev/null"];

  const download = laptop.spawn("curl", [...limited, ENDLESS]);
  const idle = laptop.spawn(process.execPath, [CLIENT, "hold", "frontend.shop", "80"]);
  await idle.waitForLine(/connected/);
  const stock = await check(
    "two devices with open connections",
    async () => {
      await startStandardClient(internet, await agent.invite("stock"), [`${ADDRESS}/32`]);
      const body = await internet.run("curl", ["-sS", "--max-time", "5", `http://${ADDRESS}/`]);
      assertEqual(body, "frontend\n", "body");
      assert(download.running && idle.running, "a connection of the laptop ended too early");
      return undefined;
    },
    { needs: ["/dev/net/tun", "curl", "wireguard-go", "wg"] },
  );
  const bystander = stock
    ? internet.spawn("curl", [...limited, ENDLESS.replace("frontend.shop", ADDRESS)])
    : undefined;

  const virtual = (await laptop.run("getent", ["ahostsv4", "frontend.shop"])).split(" ")[0] as string;
  let revokedAt = 0;
  await check("agent revoke laptop", async () => {
    await agent.run(["revoke", "laptop"]);
    revokedAt = performance.now();
    return undefined;
  });
  await check("open connections of the revoked device die within a second", async () => {
    for (const program of [download, idle]) {
      const timeout = new Promise<undefined>(resolve => setTimeout(resolve, LIMIT_MS, undefined));
      const exit = await Promise.race([program.exited, timeout]);
      assert(exit !== undefined, `${program.name} still runs after ${LIMIT_MS} ms`);
      assert(exit.code !== 0, `${program.name} ended as if all were well`);
    }
    return `${Math.round(performance.now() - revokedAt)} ms after the command returned`;
  });
  await check("new connections of the revoked device are refused at once", async () => {
    const text = await laptop.run(process.execPath, [CLIENT, "connect", virtual, "80"]);
    const { outcome, connectMs } = JSON.parse(text) as { outcome: string; connectMs: number };
    assertEqual(outcome, "ECONNREFUSED", "outcome");
    assert(connectMs < LIMIT_MS, `only after ${Math.round(connectMs)} ms`);
    return outcome;
  });
  await check("status says why", async () => {
    const { link, problem } = await czctl.status();
    assertEqual(link, "connecting", "link");
    assert(problem !== null, "no problem is named");
    return problem.message;
  });
  if (bystander !== undefined) {
    await check("the other device's connection goes on", async () => {
      assert(bystander.running, "it ended");
      const body = await internet.run("curl", ["-sS", "--max-time", "5", `http://${ADDRESS}/`]);
      assertEqual(body, "frontend\n", "body");
      return undefined;
    });
    await check("the stock device is revoked: its connection dies within a second", async () => {
      await agent.run(["revoke", "stock"]);
      const timeout = new Promise<undefined>(resolve => setTimeout(resolve, LIMIT_MS, undefined));
      assert((await Promise.race([bystander.exited, timeout])) !== undefined, "it still runs");
      return undefined;
    });
  }
  await check("down", async () => {
    await czctl.run(["down"]);
    return undefined;
  });
});
