/** At home with wireguard-tools: `wg` on both live ends, and the stock client with an invitation of ours. */
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { catalogText } from "./catalog.js";
import { Agent, Czctl } from "./czctl.js";
import type { Host } from "./host.js";
import { assert, assertEqual, type Lab, lab } from "./lab.js";
import { eventually } from "./program.js";
import { AGENT_ADDRESS, AGENT_ADDRESS_6, AGENT_PORT, addClusterAddresses } from "./topology.js";
import { openUapiDirectory } from "./wireguard-server.js";

const SERVICE = fileURLToPath(new URL("../../demo/service.js", import.meta.url));
const ADDRESSES = ["10.96.0.30", "fd00:96::30"];
const ROUTES = "10.96.0.0/16,fd00:96::/64";
const AGENT_DEVICE = `czctl-${AGENT_PORT}`;
const DEVICE = "czctl0";
const NEEDS = ["wg", "curl", "/dev/net/tun"];
const NOBODY = 65534;
const CATALOG = catalogText([
  {
    namespace: "shop",
    name: "frontend",
    clusterIps: ADDRESSES,
    ports: [{ name: "http", protocol: "TCP", port: 80 }],
  },
]);

const wg = (host: Host, ...args: string[]): Promise<string> => host.run("wg", args);

async function fetches(host: Host, name: string): Promise<void> {
  assertEqual(await host.run("curl", ["-sS", "--max-time", "5", `http://${name}/`]), "frontend\n", "body");
}

/** What `wg show DEVICE FIELD` says of the only peer. */
async function field(host: Host, device: string, name: string): Promise<string> {
  return (await wg(host, "show", device, name)).trim().split("\t").slice(1).join(" ");
}

async function looks({ laptop, cluster, check }: Lab, czctl: Czctl): Promise<void> {
  await check("wg show lists the laptop's device, with its peer's figures", async () => {
    const text = await wg(laptop, "show");
    assert(text.startsWith(`interface: ${DEVICE}\n`), text);
    assert(text.includes(`endpoint: ${AGENT_ADDRESS}:${AGENT_PORT}\n`), text);
    assert(/latest handshake: .*second/.test(text) || /latest handshake: Now/.test(text), text);
    assert(/transfer: [\d.]+ \w+ received, [\d.]+ \w+ sent/.test(text), text);
    assert(text.includes("preshared key: (hidden)"), text);
    return undefined;
  });
  await check("wg showconf gives a file that wg setconf takes back", async () => {
    const text = await wg(laptop, "showconf", DEVICE);
    assert(/\[Interface\]\nListenPort = \d+\nPrivateKey = .{44}\n/.test(text), "showconf's interface");
    assert(/PersistentKeepalive = 25\n/.test(text), "showconf's peer");
    const file = join(laptop.dir, "shown.conf");
    writeFileSync(file, text, { mode: 0o600 });
    await wg(laptop, "setconf", DEVICE, file);
    assertEqual(await wg(laptop, "showconf", DEVICE), text, "showconf after setconf");
    await fetches(laptop, "frontend.shop");
    return undefined;
  });
  await check("only root may talk to the laptop's socket", async () => {
    const path = laptop.outside(`/run/wireguard/${DEVICE}.sock`);
    assertEqual((statSync(path).mode & 0o777).toString(8), "600", "mode");
    return undefined;
  });
  await check(
    "and nobody else's wg sees a key",
    async () => {
      const drop = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", "wg", "show", DEVICE];
      const result = await laptop.exec("setpriv", drop);
      assert(result.code !== 0 && !result.stdout.includes("public key"), result.stdout);
      return undefined;
    },
    { needsRoot: true },
  );
  await check("wg show lists the agent, which runs as nobody", async () => {
    const text = await wg(cluster, "show", AGENT_DEVICE);
    const status = await czctl.status();
    assert(text.includes(`listening port: ${AGENT_PORT}\n`), text);
    assert(text.includes(`:${status.dataplane?.listenPort}\n`), `${text} has not the laptop's port`);
    return undefined;
  });
}

async function changes({ laptop, cluster, check }: Lab): Promise<void> {
  const agentKey = (await wg(laptop, "show", DEVICE, "peers")).trim();
  const set = (...args: string[]): Promise<string> => wg(laptop, "set", DEVICE, "peer", agentKey, ...args);
  await check("wg set persistent-keepalive", async () => {
    await set("persistent-keepalive", "7");
    assertEqual(await field(laptop, DEVICE, "persistent-keepalive"), "7", "interval");
    await set("persistent-keepalive", "off");
    assertEqual(await field(laptop, DEVICE, "persistent-keepalive"), "off", "interval");
    return undefined;
  });
  await check("wg set endpoint: the tunnel goes on over IPv6", async () => {
    await set("endpoint", `[${AGENT_ADDRESS_6}]:${AGENT_PORT}`);
    await fetches(laptop, "frontend.shop");
    assertEqual(await field(laptop, DEVICE, "endpoints"), `[${AGENT_ADDRESS_6}]:${AGENT_PORT}`, "endpoint");
    await eventually("the agent has seen it", async () => {
      const seen = await field(cluster, AGENT_DEVICE, "endpoints");
      assert(seen.startsWith("[2001:db8:1::2]:"), seen);
    });
    return undefined;
  });
  await check("wg set allowed-ips: what the agent may send from", async () => {
    await set("allowed-ips", "10.97.0.0/16");
    assertEqual(await field(laptop, DEVICE, "allowed-ips"), "10.97.0.0/16", "allowed-ips");
    const result = await laptop.exec("curl", ["-sS", "--max-time", "1", "http://frontend.shop/"]);
    assert(result.code !== 0, "answers from outside of allowed-ips were taken");
    await set("allowed-ips", "0.0.0.0/0,::/0");
    await eventually("again", () => fetches(laptop, "frontend.shop"));
    return undefined;
  });
  await check("what cannot be changed is refused", async () => {
    const result = await laptop.exec("wg", ["set", DEVICE, "listen-port", "1234"]);
    assert(result.code !== 0 && /not supported/i.test(result.stderr), result.stderr);
    await fetches(laptop, "frontend.shop");
    return undefined;
  });
  await check("wg set peer remove on the agent ends the device's download and its access", async () => {
    const download = laptop.spawn("curl", [
      "-sS",
      "-o",
      "/dev/null",
      "--limit-rate",
      "20M",
      "http://frontend.shop/bytes/1000000000000",
    ]);
    await new Promise(resolve => setTimeout(resolve, 300));
    assert(download.running, download.tail());
    const device = (await wg(cluster, "show", AGENT_DEVICE, "peers")).trim();
    await wg(cluster, "set", AGENT_DEVICE, "peer", device, "remove");
    assertEqual((await wg(cluster, "show", AGENT_DEVICE, "peers")).trim(), "", "peers");
    const exit = await Promise.race([
      download.exited,
      new Promise<undefined>(resolve => setTimeout(resolve, 3_000, undefined)),
    ]);
    assert(exit !== undefined && exit.code !== 0, "the download goes on");
    return undefined;
  });
}

const PIXELS = 8;

/** A camera's view of the terminal, as a PGM image: each half of a character cell is a square, light where inked. */
function picture(terminal: string): Buffer {
  const rows = terminal.split("\n").flatMap(line => {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the colours of the code's lines.
    const cells = /^\x1b\[97;40m([ █▀▄]+)\x1b\[0m$/.exec(line)?.[1];
    if (cells === undefined) return [];
    return ["█▀", "█▄"].map(inked => [...cells].map(cell => (inked.includes(cell) ? 255 : 0)));
  });
  const width = rows[0]?.length ?? 0;
  const pixels = rows.flatMap(row => {
    const wide = row.flatMap(value => new Array<number>(PIXELS).fill(value));
    return new Array<number[]>(PIXELS).fill(wide).flat();
  });
  const header = `P5\n${width * PIXELS} ${rows.length * PIXELS}\n255\n`;
  return Buffer.concat([Buffer.from(header), Buffer.from(pixels)]);
}

async function invitation({ laptop, check }: Lab, agent: Agent, czctl: Czctl): Promise<void> {
  await czctl.run(["down"]);
  const file = join(laptop.dir, "phone.conf");
  let code = "";
  const invited = await check("agent invite --format wg-quick --qr", async () => {
    const result = await agent.exec(["invite", "phone", "--format", "wg-quick", "--routes", ROUTES, "--qr"]);
    assertEqual(result.code, 0, result.stderr);
    assert(result.stderr.includes("█▀"), "no QR code on standard error");
    code = result.stderr;
    writeFileSync(file, result.stdout, { mode: 0o600 });
    return undefined;
  });
  if (!invited) return;
  let scanned = file;
  await check(
    "a reader decodes the QR code to the file, byte for byte but for our comment",
    async () => {
      const image = join(laptop.dir, "code.pgm");
      writeFileSync(image, picture(code));
      const text = await laptop.run("zbarimg", ["--quiet", "--raw", "-Sdisable", "-Sqrcode.enable", image]);
      // The reader ends what it prints with a newline of its own.
      assertEqual(text, `${readFileSync(file, "utf8").replace(/^#.*\n/, "")}\n`, "text");
      scanned = join(laptop.dir, "scanned.conf");
      writeFileSync(scanned, text, { mode: 0o600 });
      return undefined;
    },
    { needs: ["zbarimg"] },
  );
  const env = { WG_QUICK_USERSPACE_IMPLEMENTATION: "wireguard-go", LOG_LEVEL: "error" };
  await check(
    "wg-quick up with what was read: cluster addresses of both families",
    async () => {
      // What it leaves running would keep our pipes open.
      await laptop.run("sh", ["-c", 'wg-quick up "$0" >wg-quick.log 2>&1', scanned], { env });
      try {
        for (const address of ADDRESSES) await fetches(laptop, address.replace(/^(.*:.*)$/, "[$1]"));
      } finally {
        await laptop.run("wg-quick", ["down", scanned], { env });
      }
      return undefined;
    },
    { needs: ["wg-quick", "wireguard-go"] },
  );
  await check("space add takes the same file", async () => {
    await czctl.run(["space", "add", file, "--name", "from-conf"]);
    await czctl.run(["space", "select", "from-conf"]);
    await czctl.up();
    await czctl.waitUntilConnected();
    await fetches(laptop, "frontend.shop");
    await czctl.run(["down"]);
    return undefined;
  });
  await check("a file of somebody else's is refused, and says why", async () => {
    writeFileSync(
      join(laptop.dir, "foreign.conf"),
      "[Interface]\nPrivateKey = x\n[Peer]\nEndpoint = a.example:1\n",
    );
    const result = await czctl.exec(["space", "add", join(laptop.dir, "foreign.conf")]);
    assertEqual(result.code, 3, "exit code");
    assert(result.stderr.includes("wg-quick"), result.stderr);
    return undefined;
  });
}

await lab(import.meta.url, async l => {
  const { laptop, cluster, sandbox, check } = l;
  const czctl = new Czctl(laptop);
  let agent: Agent | undefined;
  const ready = await check(
    "czctl up, with an agent that may put a socket where wg looks",
    async () => {
      await addClusterAddresses(cluster, ADDRESSES);
      for (const address of ADDRESSES) {
        const server = cluster.spawn(process.execPath, [SERVICE, "http", address, "80", "frontend"]);
        await server.waitForLine(/ready/);
      }
      openUapiDirectory(l);
      agent = await Agent.make(sandbox, cluster, { catalog: CATALOG });
      await czctl.run(["space", "add", await agent.invite("laptop")]);
      await czctl.up();
      await czctl.waitUntilConnected();
      await fetches(laptop, "frontend.shop");
      return undefined;
    },
    { needs: NEEDS },
  );
  if (!ready || agent === undefined) return;
  await looks(l, czctl);
  await changes(l);
  await invitation(l, agent, czctl);
  await check("no socket is left behind", async () => {
    await agent?.program?.stop();
    for (const host of [laptop, cluster]) assertEqual((await wg(host, "show")).trim(), "", host.name);
    return undefined;
  });
});
