import t from "tap";
import { CzctlError } from "../../src/base/index.js";
import {
  type Credential,
  formatCredential,
  parseCredential,
  parseHostPort,
} from "../../src/catalog/index.js";

const key = (fill: number) => btoa(String.fromCharCode(...new Uint8Array(32).fill(fill)));
const PRIVATE = key(4);

const GOOD: Credential = {
  version: 1,
  kind: "czctl-credential",
  teamspace: "dev",
  device: "laptop-1",
  privateKey: key(1),
  presharedKey: key(2),
  innerAddresses: ["100.126.0.2", "fdaa::2"],
  agent: {
    publicKey: key(3),
    endpoint: "agent.example.com:51820",
    innerAddresses: ["100.126.0.1", "fdaa::1"],
  },
  zone: "cluster.local",
  mtu: 1420,
};

/** GOOD with the field at `path` set, or taken out. */
function changed(path: string, value?: unknown): string {
  const copy = JSON.parse(JSON.stringify(GOOD));
  const parts = path.split(".");
  let at = copy;
  for (const part of parts.slice(0, -1)) at = at[part];
  if (value === undefined) delete at[parts.at(-1) as string];
  else at[parts.at(-1) as string] = value;
  return JSON.stringify(copy);
}

t.test("what is written is read", async t => {
  t.strictSame(parseCredential(formatCredential(GOOD)), GOOD);
  t.strictSame(
    parseCredential(`\uFEFF${formatCredential(GOOD).replace(/\n/g, "\r\n")}`),
    GOOD,
    "through an editor",
  );
  t.strictSame(parseCredential(changed("later", 1)), GOOD, "fields of a later version are ignored");
});

t.test("each wrong field is named, in one line, with a hint and without a key", async t => {
  const secrets = [GOOD.privateKey, GOOD.presharedKey, GOOD.agent.publicKey, PRIVATE];
  const cases: [text: string, message: RegExp][] = [
    ["", /it is empty/],
    ["  \n", /it is empty/],
    [formatCredential(GOOD).slice(0, 200), /it is not JSON/],
    [`${GOOD.privateKey}`, /it is not JSON/],
    ["[1]", /not a JSON object/],
    ["null", /not a JSON object/],
    ["{}", /"kind" is not "czctl-credential"/],
    [changed("kind", "other"), /"kind"/],
    [changed("version", 2), /"version" is from a newer czctl/],
    [changed("version", 0), /"version" has a wrong value/],
    [changed("version"), /"version" is missing/],
    [changed("teamspace"), /"teamspace" is missing/],
    [changed("teamspace", "../etc"), /"teamspace" must be a name/],
    [changed("device", ""), /"device" must be a name/],
    [changed("device", 7), /"device" must be of type string/],
    [changed("privateKey"), /"privateKey" is missing/],
    [changed("privateKey", GOOD.privateKey.slice(0, -4)), /"privateKey" must be a WireGuard key/],
    [changed("privateKey", `${GOOD.privateKey}x`), /"privateKey" must be a WireGuard key/],
    [changed("presharedKey", 5), /"presharedKey" must be of type string/],
    [changed("presharedKey", PRIVATE.slice(0, 20)), /"presharedKey" must be a WireGuard key/],
    [changed("innerAddresses", ["100.126.0.2"]), /"innerAddresses"/],
    [changed("innerAddresses", "100.126.0.2"), /"innerAddresses" must be/],
    [changed("innerAddresses", ["fdaa::2", "100.126.0.2"]), /"innerAddresses\[0\]" must be an IPv4 address/],
    [changed("innerAddresses", ["100.126.0.2", "x"]), /"innerAddresses\[1\]" must be an IPv6 address/],
    [changed("agent"), /"agent" is missing/],
    [changed("agent", []), /"agent" must be of type object/],
    [changed("agent.publicKey", "abc"), /"agent.publicKey" must be a WireGuard key/],
    [changed("agent.endpoint", "agent.example.com"), /"agent.endpoint" must be HOST:PORT/],
    [changed("agent.innerAddresses.1", "1.2.3.4"), /"agent.innerAddresses\[1\]" must be an IPv6 address/],
    [changed("zone", "Cluster.Local"), /"zone" must be a domain in lower case/],
    [changed("zone", "cluster.local\n1.2.3.4 x"), /"zone" must be a domain/],
    [changed("mtu", 100), /"mtu" must be at least 1280/],
    [changed("mtu", 1420.5), /"mtu" must be a whole number/],
    [changed("mtu", "1420"), /"mtu" must be/],
  ];
  for (const [text, message] of cases) {
    try {
      parseCredential(text);
      t.fail(`accepted: ${text.slice(0, 80)}`);
    } catch (error) {
      if (!(error instanceof CzctlError)) throw error;
      t.match(error, { code: "CREDENTIAL_INVALID", category: "config", message, hint: /czctl/ });
      t.match(error.message, /^[^\n]+$/);
      const told = `${error.message} ${error.hint} ${error.stack} ${String(error.cause)}`;
      for (const secret of secrets) t.notOk(told.includes(secret.slice(0, 12)), "no key in it");
    }
  }
});

t.test("HOST:PORT", async t => {
  t.strictSame(parseHostPort("agent.example.com:51820"), { host: "agent.example.com", port: 51820 });
  t.strictSame(parseHostPort("AGENT.example.com:1"), { host: "AGENT.example.com", port: 1 });
  t.strictSame(parseHostPort("203.0.113.7:65535"), { host: "203.0.113.7", port: 65535 });
  t.strictSame(parseHostPort("[2001:db8::7]:51820"), { host: "2001:db8::7", port: 51820 });
  for (const text of [
    "",
    "x",
    ":1",
    "x:",
    "x:0",
    "x:65536",
    "1.2.3:4",
    "1.2.3.256:4",
    "2001:db8::7:51820",
    "[x]:1",
    "[1.2.3.4]:1",
    "a b:1",
    "-a:1",
    "x:1y",
  ]) {
    t.equal(parseHostPort(text), null, text);
  }
});
