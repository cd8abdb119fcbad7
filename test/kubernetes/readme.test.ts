/**
 * README's "In a real cluster", line by line: the commands are taken from the file and given to a shell. What this
 * machine cannot do is skipped by name: building and pushing the image (the agent runs from the sources instead, with
 * the arguments, token and rights of the Deployment), and a cloud's load balancer (the lab writes the Service's
 * address). Afterwards the cluster is as it was.
 */
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { CLI, Czctl } from "../lab/czctl.js";
import type { Host } from "../lab/host.js";
import { assert, assertEqual, lab, missing } from "../lab/lab.js";
import { AGENT_ADDRESS, LAPTOP_HOSTS } from "../lab/topology.js";
import { kubernetesBinary, NOT_BUILT } from "./cluster.js";
import { Node, slice } from "./node.js";

const lacks = kubernetesBinary() === null ? [NOT_BUILT] : missing(["nft", "curl"]);
if (lacks.length > 0) {
  console.log(`1..0 # SKIP needs ${lacks.join(", ")}`);
  process.exit();
}

const README = readFileSync(fileURLToPath(new URL("../../../README.md", import.meta.url)), "utf8");
const WEB = "10.244.0.11";
const AGENT = "10.244.0.21";

/** The lines after `$ ` of the console block that follows `mark`. */
function commandsAfter(mark: string): string[] {
  const at = README.indexOf(mark);
  assert(at !== -1, `README has no "${mark}" any more`);
  const block = README.slice(at).split("```")[1] ?? "";
  return block.split("\n").flatMap(line => (line.startsWith("$ ") ? [line.slice(2)] : []));
}

await lab(import.meta.url, async l => {
  const { laptop, cluster, check } = l;
  const node = await Node.start(l, "");
  /** Everything in the cluster, but for what stands in for its controllers. */
  const everything = async (): Promise<string[]> => {
    const kinds = (await node.kubectl(["api-resources", "--verbs=list", "-o", "name"])).trim().split("\n");
    const said = await node.kubectl(["get", kinds.join(","), "-A", "-o", "name", "--ignore-not-found"]);
    return [...new Set(said.trim().split("\n"))]
      .filter(name => !/^(event|lease)|\/czctl-agent-1$/.test(name))
      .sort();
  };
  const web = await node.pod("web", WEB);
  const service = fileURLToPath(new URL("../../demo/service.js", import.meta.url));
  await web.spawn(process.execPath, [service, "http", WEB, "8080", "web"]).waitForLine(/ready/);
  const spec = { ports: [{ name: "http", port: 80, targetPort: 8080 }] };
  await node.apply(
    { apiVersion: "v1", kind: "Namespace", metadata: { name: "shop" } },
    { apiVersion: "v1", kind: "Service", metadata: { name: "frontend", namespace: "shop" }, spec },
    slice("shop", "frontend", [{ name: "http", port: 8080 }], { [WEB]: "ready" }),
  );
  const before = await everything();

  /** `czctl` and `sudo` as commands, in a directory of the host's own. */
  const shell = async (host: Host, line: string): Promise<string> => {
    const bin = join(host.dir, "bin");
    mkdirSync(bin, { recursive: true });
    writeFileSync(join(bin, "czctl"), `#!/bin/sh\nexec ${process.execPath} ${CLI} "$@"\n`, { mode: 0o755 });
    writeFileSync(join(bin, "sudo"), '#!/bin/sh\nexec "$@"\n', { mode: 0o755 });
    const env = { PATH: `${bin}:${process.env.PATH}`, KUBECONFIG: join(node.dir, "admin.kubeconfig") };
    return host.run("sh", ["-c", line], { env, timeoutMs: 30_000 });
  };

  const commands = commandsAfter("### In a real cluster");
  const image = /-t (\S+)/.exec(commands[0] ?? "")?.[1] ?? "";
  await check(`$ ${commands[0]}`, async () => undefined, { needs: ["docker", "a registry to push to"] });

  await check(`$ ${commands[1]}`, async () => {
    await shell(cluster, commands[1] as string);
    const get = ["-n", "czctl", "get", "deployment", "czctl-agent", "-o", "jsonpath={..image}"];
    assertEqual((await node.kubectl(get)).trim(), image, "image of the Deployment");
    return undefined;
  });

  await check("the Deployment's pod, from the sources; the load balancer's address, by the lab", async () => {
    await node.exposeAgent();
    await node.agent("agent", AGENT);
    await node.agentEndpoints({ [AGENT]: "ready" });
    await node.waitForRules(AGENT, true);
    return undefined;
  });

  await check(`$ ${commands[2]}`, async () => {
    await shell(cluster, commands[2] as string);
    copyFileSync(join(cluster.dir, "alice.json"), join(laptop.dir, "alice.json"));
    return undefined;
  });

  // What the company's name server would say.
  const host = commands[1]?.match(/--endpoint ([^:]+):/)?.[1];
  laptop.writeEtc("hosts", `${LAPTOP_HOSTS}\n${AGENT_ADDRESS} ${host}\n`);
  const onLaptop = commandsAfter("## Use it");
  for (const line of onLaptop.slice(onLaptop.indexOf("sudo czctl space add alice.json"))) {
    await check(`laptop $ ${line}`, async () => {
      const said = await shell(laptop, line);
      if (line.includes(" up")) await new Czctl(laptop).waitUntilConnected(10_000);
      if (line.includes("services list")) assert(/frontend/.test(said), said);
      return undefined;
    });
  }

  const [, first = ""] = commandsAfter("# czctl");
  await check(`laptop $ ${first}`, async () => {
    assertEqual((await shell(laptop, first)).trim(), "web", "body");
    return undefined;
  });

  await check("$ czctl space uninstall --yes: the cluster is as it was", async () => {
    await shell(cluster, "czctl space uninstall --yes");
    // The namespace goes when a controller has emptied it, and there is none here.
    const after = (await everything()).filter(name => name !== "namespace/czctl");
    assertEqual(after, before, "objects");
    return `${before.length} objects`;
  });
  await node.close();
});
