/**
 * A credential as a `wg-quick` configuration: for standard WireGuard clients, which know nothing else, and back.
 *
 * A standard client needs no more than keys, addresses and an endpoint. What czctl needs besides (whose
 * teamspace it is, its zone, where the agent's control API is) stands in a comment that they skip:
 *
 *     # czctl: teamspace=demo device=phone zone=cluster.local agent=100.126.0.1,fd12:3456:789a::1
 *
 * Without that line there is nobody to ask which services there are, so such a file is refused. Commands
 * (PostUp…), DNS and routing tables of a file are wg-quick's business, and ignored.
 */
import { CzctlError, type Prefix, toBase64 } from "../base/index.js";
import { type Credential, parseCredential } from "./credential.js";

const KEEPALIVE_SECONDS = 25;
const METADATA = /^#\s*czctl:\s*(.*)$/;

/** @param allowedIps what the client routes into the tunnel, beside the agent itself */
export function formatWgQuick(credential: Credential, allowedIps: readonly Prefix[]): string {
  const { teamspace, device, zone, agent } = credential;
  const hosts = agent.innerAddresses.map(hostPrefix);
  return [
    `# czctl: teamspace=${teamspace} device=${device} zone=${zone} agent=${agent.innerAddresses.join(",")}`,
    "[Interface]",
    `PrivateKey = ${credential.privateKey}`,
    `Address = ${credential.innerAddresses.map(hostPrefix).join(", ")}`,
    `MTU = ${credential.mtu}`,
    "",
    "[Peer]",
    `PublicKey = ${agent.publicKey}`,
    `PresharedKey = ${credential.presharedKey}`,
    `Endpoint = ${agent.endpoint}`,
    `AllowedIPs = ${[...hosts, ...allowedIps.map(String)].join(", ")}`,
    `PersistentKeepalive = ${KEEPALIVE_SECONDS}`,
    "",
  ].join("\n");
}

/** Either form of a credential. Throws CzctlError. */
export function parseCredentialFile(text: string): Credential {
  return /^\s*\[interface\]/im.test(text) ? parseWgQuick(text) : parseCredential(text);
}

function parseWgQuick(text: string): Credential {
  const { known, sections } = readLines(text);
  const [iface, peer] = [sections.interface, sections.peer];
  if (iface === undefined || peer === undefined) throw invalid("it has no [Interface] or no [Peer]");
  if (known === undefined) {
    throw invalid(
      'it has no "# czctl:" line, so there is no agent to ask for services',
      "use it with wg-quick, or ask for one made by czctl agent invite NAME --format wg-quick",
    );
  }
  // Through the one set of rules that credentials have; what is missing or wrong is named there.
  return parseCredential(
    JSON.stringify({
      version: 1,
      kind: "czctl-credential",
      teamspace: known.get("teamspace"),
      device: known.get("device"),
      privateKey: iface.get("privatekey"),
      // WireGuard's word for "none".
      presharedKey: peer.get("presharedkey") ?? toBase64(new Uint8Array(32)),
      innerAddresses: byFamily(list(iface.get("address")).map(address => address.replace(/\/\d+$/, ""))),
      agent: {
        publicKey: peer.get("publickey"),
        endpoint: peer.get("endpoint"),
        innerAddresses: byFamily(list(known.get("agent"))),
      },
      zone: known.get("zone"),
      mtu: Number(iface.get("mtu") ?? 1420),
    }),
  );
}

type Settings = Map<string, string>;

/** Keys in lower case; a key that comes again adds to a list, as wg-quick has it. */
function readLines(text: string): { known?: Settings; sections: { interface?: Settings; peer?: Settings } } {
  const sections: { interface?: Settings; peer?: Settings } = {};
  let known: Settings | undefined;
  let current: Settings | undefined;
  for (const line of text.replace(/^\uFEFF/, "").split(/\r?\n/)) {
    const metadata = METADATA.exec(line.trim());
    if (metadata !== null) {
      const pairs = (metadata[1] as string).split(/\s+/).map(pair => pair.split(/=(.*)/s, 2));
      known = new Map(pairs.map(([key = "", value = ""]) => [key, value]));
    }
    const plain = line.replace(/#.*$/, "").trim();
    const heading = /^\[(interface|peer)\]$/i.exec(plain)?.[1]?.toLowerCase() as keyof typeof sections;
    if (heading !== undefined) {
      if (sections[heading] !== undefined) throw invalid(`it has more than one [${heading}]`);
      current = new Map();
      sections[heading] = current;
      continue;
    }
    const equals = plain.indexOf("=");
    if (equals === -1 || current === undefined) continue;
    const key = plain.slice(0, equals).trim().toLowerCase();
    const value = plain.slice(equals + 1).trim();
    const before = current.get(key);
    current.set(key, before === undefined ? value : `${before}, ${value}`);
  }
  return { ...(known === undefined ? {} : { known }), sections };
}

function list(text: string | undefined): string[] {
  return (text ?? "").split(",").flatMap(part => part.trim() || []);
}

/** IPv4 first. */
function byFamily(addresses: string[]): string[] {
  return addresses.sort((a, b) => Number(a.includes(":")) - Number(b.includes(":")));
}

function hostPrefix(address: string): string {
  return `${address}/${address.includes(":") ? 128 : 32}`;
}

function invalid(what: string, hint = "ask whoever runs the teamspace for a new one"): CzctlError {
  return new CzctlError(`the configuration cannot be used: ${what}`, {
    code: "CREDENTIAL_INVALID",
    category: "config",
    hint,
  });
}
