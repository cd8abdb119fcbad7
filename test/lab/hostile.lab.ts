/**
 * A device that belongs to somebody hostile: a stock WireGuard client with a valid credential, and raw packets.
 * It reaches what its grant names. Everything else is a refusal or silence.
 */
import { fileURLToPath } from "node:url";
import { CONTROL_PORT } from "../../src/api/index.js";
import { catalogText } from "./catalog.js";
import { Agent } from "./czctl.js";
import type { Host } from "./host.js";
import { assert, assertEqual, type Lab, lab } from "./lab.js";
import { AGENT_ADDRESS, addClusterAddresses } from "./topology.js";
import { startStandardClient } from "./wireguard-go.js";

const SERVICE = fileURLToPath(new URL("../../demo/service.js", import.meta.url));
const RAW = fileURLToPath(new URL("../../../test/lab/hostile.py", import.meta.url));
const LIMIT_MS = 1_500;

const ALLOWED = "10.96.0.30";
const NOT_GRANTED = "10.96.0.40";
const NOT_IN_CATALOG = "10.96.0.50";
const METADATA = "169.254.169.254";
const PORT = 80;
/** The agent's host listens here on every address: loopback, its outside, its pods. */
const HOST_PORT = 7777;

const port = [{ name: "http", protocol: "TCP" as const, port: PORT }];
const CATALOG = catalogText([
  { namespace: "shop", name: "files", clusterIps: [ALLOWED], ports: port },
  { namespace: "admin", name: "secret", clusterIps: [NOT_GRANTED], ports: port },
]);

async function startServers(cluster: Host): Promise<void> {
  await addClusterAddresses(cluster, [ALLOWED, NOT_GRANTED, NOT_IN_CATALOG, METADATA]);
  const listen: [string, number][] = [
    [ALLOWED, PORT],
    [NOT_GRANTED, PORT],
    [NOT_IN_CATALOG, PORT],
    [METADATA, PORT],
    ["0.0.0.0", HOST_PORT],
  ];
  for (const [address, number] of listen) {
    const server = cluster.spawn(process.execPath, [
      SERVICE,
      "http",
      address,
      String(number),
      `${address}:${number}`,
    ]);
    await server.waitForLine(/ready/);
  }
}

/** By the kernel's TCP of the hostile laptop. */
async function connections({ laptop, check }: Lab, agentInner: string, otherInner: string): Promise<void> {
  await check("what is granted works", async () => {
    const body = await laptop.run("curl", ["-sS", "--max-time", "5", `http://${ALLOWED}/`]);
    assertEqual(body, `${ALLOWED}:${PORT}\n`, "body");
    return undefined;
  });
  // Addresses that the kernel would not send into a tunnel at all are left to the raw packets below.
  const forbidden: [string, string, number][] = [
    ["another port of a granted service", ALLOWED, HOST_PORT],
    ["a service in the catalog that is not granted", NOT_GRANTED, PORT],
    ["a cluster address that is not in the catalog", NOT_IN_CATALOG, PORT],
    ["the cloud's metadata address", METADATA, PORT],
    ["the agent's inner address, other than the control API", agentInner, HOST_PORT],
    ["another device", otherInner, CONTROL_PORT],
  ];
  for (const [what, address, number] of forbidden) {
    await check(`refused at once: ${what}`, async () => {
      const url = `http://${address}:${number}/`;
      const result = await laptop.exec("curl", ["-sS", "--max-time", "5", url]);
      assert(result.code === 7, `curl ended with ${result.code}: ${result.stdout}${result.stderr.trim()}`);
      assert(result.ms < LIMIT_MS, `only after ${Math.round(result.ms)} ms`);
      return undefined;
    });
  }
}

interface Case {
  name: string;
  src: string;
  dst: string;
  kind: "syn" | "ack" | "rst" | "fragment" | "udp" | "ping" | "sctp" | "esp" | "ipip";
  port?: number;
}

const REFUSAL = /^(tcp RA? |tcp R |icmp 3\/)/;

async function rawPackets(l: Lab, own: string, agentInner: string, otherInner: string): Promise<void> {
  const { laptop, check } = l;
  const syn = (name: string, src: string, dst: string, number = PORT): Case => ({
    name,
    src,
    dst,
    kind: "syn",
    port: number,
  });
  /** A wrong source must bring nothing at all: an answer would go to somebody else. */
  const silent: Case[] = [
    ...[
      "192.0.2.55",
      "10.96.0.50",
      "127.0.0.1",
      "0.0.0.0",
      "255.255.255.255",
      "224.0.0.1",
      AGENT_ADDRESS,
    ].map(src => syn(`SYN from the foreign source ${src}`, src, ALLOWED)),
    syn("SYN from another device's address", otherInner, ALLOWED),
    syn("SYN from the agent's inner address", agentInner, ALLOWED),
    { name: "UDP from another device's address", src: otherInner, dst: ALLOWED, kind: "udp", port: 53 },
    { name: "ping from another device's address", src: otherInner, dst: agentInner, kind: "ping" },
    { name: "RST out of nowhere", src: own, dst: ALLOWED, kind: "rst", port: PORT },
    { name: "a fragment without the rest", src: own, dst: ALLOWED, kind: "fragment", port: 53 },
  ];
  /** Ours, but forbidden: nothing but a refusal may come. */
  const refused: Case[] = [
    ...["127.0.0.1", "127.8.8.8", "0.0.0.0", "255.255.255.255", "224.0.0.1", METADATA, NOT_IN_CATALOG].map(
      dst => syn(`SYN to ${dst}`, own, dst, dst === METADATA || dst === NOT_IN_CATALOG ? PORT : HOST_PORT),
    ),
    { name: "ACK out of nowhere", src: own, dst: ALLOWED, kind: "ack", port: PORT },
    { name: "UDP to the agent's loopback", src: own, dst: "127.0.0.1", kind: "udp", port: 53 },
    { name: "UDP to an address outside the catalog", src: own, dst: NOT_IN_CATALOG, kind: "udp", port: 53 },
    { name: "SCTP", src: own, dst: ALLOWED, kind: "sctp" },
    { name: "ESP", src: own, dst: ALLOWED, kind: "esp" },
    { name: "IP in IP", src: own, dst: ALLOWED, kind: "ipip", port: PORT },
  ];
  const control = syn("control: SYN to what is granted", own, ALLOWED);
  let answers: Record<string, string[]> = {};
  const sent = await check(
    "raw packets: a granted SYN is answered, so the rest means something",
    async () => {
      const input = JSON.stringify([control, ...silent, ...refused]);
      answers = JSON.parse(await laptop.run("/usr/bin/python3", [RAW, "wg0"], { input, timeoutMs: 50_000 }));
      const answer = answers[control.name] ?? [];
      assert(
        answer.some(text => text.startsWith("tcp SA ")),
        `answers: ${answer}`,
      );
      return undefined;
    },
    { needs: ["/usr/bin/python3"] },
  );
  if (!sent) return;
  for (const { name } of silent) {
    await check(`raw packet, silence: ${name}`, async () => {
      assertEqual(foreign(answers[name]), [], "answers");
      return undefined;
    });
  }
  for (const { name } of refused) {
    await check(`raw packet, refusal or silence: ${name}`, async () => {
      const answer = foreign(answers[name]);
      assert(
        answer.every(text => REFUSAL.test(text)),
        `answers: ${answer.join(", ")}`,
      );
      return answer[0];
    });
  }
}

/** Without what the control case's half-open connection still sends. */
function foreign(answers: string[] | undefined): string[] {
  return (answers ?? ["nothing was recorded"]).filter(text => text !== `tcp SA ${ALLOWED}`);
}

await lab(import.meta.url, async l => {
  const ready = await l.check(
    "an agent, a device with a narrow grant, another device",
    async () => {
      await startServers(l.cluster);
      return undefined;
    },
    { needs: ["/dev/net/tun", "wireguard-go", "wg", "curl"] },
  );
  if (!ready) return;
  const agent = await Agent.make(l.sandbox, l.cluster, { catalog: CATALOG });
  const everything = ["0.0.0.0/1", "128.0.0.0/1"];
  // The datagrams themselves stay outside of the tunnel.
  await l.laptop.ip(`route add ${AGENT_ADDRESS}/32 via 192.0.2.1\n`);
  const mine = await startStandardClient(l.laptop, await agent.invite("mallory", ["files.shop"]), everything);
  const other = await startStandardClient(l.internet, await agent.invite("bob"), ["10.96.0.0/16"]);
  const agentInner = mine.agent.innerAddresses[0];
  await connections(l, agentInner, other.innerAddresses[0]);
  await rawPackets(l, mine.innerAddresses[0], agentInner, other.innerAddresses[0]);
  await l.check("the other device was never disturbed", async () => {
    const body = await l.internet.run("curl", ["-sS", "--max-time", "5", `http://${NOT_GRANTED}/`]);
    assertEqual(body, `${NOT_GRANTED}:${PORT}\n`, "body");
    return undefined;
  });
});
