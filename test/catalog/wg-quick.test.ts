import t from "tap";
import { CzctlError, Prefix } from "../../src/base/index.js";
import {
  type Credential,
  formatCredential,
  formatWgQuick,
  parseCredentialFile,
} from "../../src/catalog/index.js";

const key = (fill: number) => btoa(String.fromCharCode(...new Uint8Array(32).fill(fill)));

const GOOD: Credential = {
  version: 1,
  kind: "czctl-credential",
  teamspace: "dev",
  device: "phone",
  privateKey: key(1),
  presharedKey: key(2),
  innerAddresses: ["100.126.0.2", "fdaa::2"],
  agent: {
    publicKey: key(3),
    endpoint: "[2001:db8::1]:51820",
    innerAddresses: ["100.126.0.1", "fdaa::1"],
  },
  zone: "cluster.local",
  mtu: 1280,
};
const TEXT = formatWgQuick(GOOD, [Prefix.from("10.96.0.0/12")]);

t.test("as wg-quick(8) reads it", async t => {
  t.same(TEXT.split("\n"), [
    "# czctl: teamspace=dev device=phone zone=cluster.local agent=100.126.0.1,fdaa::1",
    "[Interface]",
    `PrivateKey = ${key(1)}`,
    "Address = 100.126.0.2/32, fdaa::2/128",
    "MTU = 1280",
    "",
    "[Peer]",
    `PublicKey = ${key(3)}`,
    `PresharedKey = ${key(2)}`,
    "Endpoint = [2001:db8::1]:51820",
    "AllowedIPs = 100.126.0.1/32, fdaa::1/128, 10.96.0.0/12",
    "PersistentKeepalive = 25",
    "",
  ]);
});

t.test("and back", async t => {
  t.same(parseCredentialFile(TEXT), GOOD);
  t.same(parseCredentialFile(formatCredential(GOOD)), GOOD, "the JSON form is the same credential");
});

t.test("what people and programs do to such files", async t => {
  const changed = TEXT.replace("[Interface]", "  [INTERFACE]  # mine")
    .replace("PrivateKey = ", "privatekey=")
    .replace("Address = 100.126.0.2/32, fdaa::2/128", "Address = fdaa::2/128\nAddress = 100.126.0.2")
    .replace("MTU = 1280", "MTU=1280\nDNS = 10.96.0.10\nPostUp = rm -rf /\nTable = off")
    .replaceAll("\n", "\r\n");
  t.same(parseCredentialFile(changed), GOOD);
  const without = parseCredentialFile(TEXT.replace(/PresharedKey.*\n/, "").replace(/MTU.*\n/, ""));
  t.equal(without.presharedKey, key(0), "no preshared key is one of zeros (paper §5.2)");
  t.equal(without.mtu, 1420);
});

t.test("what is refused, without quoting a key", async t => {
  const cases: [string, string, RegExp][] = [
    ["no czctl line", TEXT.replace(/^#.*\n/, ""), /"# czctl:" line/],
    ["two peers", `${TEXT}[Peer]\nPublicKey = ${key(9)}\n`, /more than one \[peer\]/],
    ["no peer", TEXT.slice(0, TEXT.indexOf("[Peer]")), /no \[Peer\]/],
    ["no private key", TEXT.replace(/PrivateKey.*\n/, ""), /"privateKey" is missing/],
    ["a key cut off", TEXT.replace(key(1), key(1).slice(0, 20)), /"privateKey" must be a WireGuard key/],
    ["no endpoint", TEXT.replace(/Endpoint.*\n/, ""), /"agent.endpoint" is missing/],
    ["one family", TEXT.replace(", fdaa::2/128", ""), /innerAddresses/],
    ["an MTU of letters", TEXT.replace("1280", "big"), /"mtu"/],
  ];
  for (const [name, text, message] of cases) {
    try {
      parseCredentialFile(text);
      t.fail(`${name}: taken`);
    } catch (error) {
      t.type(error, CzctlError, name);
      t.match((error as CzctlError).message, message, name);
      t.notOk(`${error}${(error as CzctlError).hint}`.includes(key(1).slice(0, 16)), `${name}: quotes a key`);
    }
  }
});
