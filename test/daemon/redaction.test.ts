/** What a bug report must not say, and what it must still say. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import t from "tap";
import { Redactor } from "../../src/daemon/redaction.js";
import { makeTar } from "../../src/daemon/tar.js";

const KEY = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk=";
const HEX = "c80ad9e53177e9575c9b5ed78b6d8b7b3795303a85d76ad8522809060077c19a";
const HOME = ["", "home", "alice"].join("/");

t.test("what goes", async t => {
  for (const [what, text, expected] of [
    ["a WireGuard key", `publicKey=${KEY}`, "publicKey=<key-1>"],
    ["one in hexadecimal", `private_key=${HEX}`, "private_key=<key-1>"],
    ["a JSON Web Token", "got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "got <secret-1>"],
    ["a header", "Authorization: Bearer abc.def-123456", "Authorization: Bearer <secret-1>"],
    ["a password in JSON", '"password": "hunter2!"', '"password": "<secret-1>"'],
    ["a key file", "-----BEGIN PRIVATE KEY-----\nMIIx\n-----END PRIVATE KEY-----\nrest", "<key-1>\nrest"],
    ["one that is cut off", "-----BEGIN RSA PRIVATE KEY-----\nMIIx\nabc", "<key-1>"],
    ["a home", `open ${HOME}/key: EACCES`, "open /home/<user-1>/key: EACCES"],
    ["an internet address", "endpoint=93.184.216.34:51820", "endpoint=<address-1>:51820"],
    ["one of IPv6", "to [2606:2800:220:1::25c8]:51820", "to [<address-1>]:51820"],
    ["what is known", "alice at vpn.example.com. ALICE!", "<user-1> at <endpoint-1>. <user-1>!"],
    ["a long blob", `x ${"QUJD".repeat(20)} y`, "x <secret-1> y"],
  ] as const) {
    const redactor = new Redactor([
      { kind: "user", text: "alice" },
      { kind: "endpoint", text: "vpn.example.com" },
    ]);
    t.equal(redactor.redact(text), expected, what);
  }
});

t.test("what stays", async t => {
  const redactor = new Redactor([{ kind: "user", text: "al" }]);
  for (const text of [
    "10.96.3.9 192.168.1.1 172.16.0.1 198.18.0.7 100.64.0.1 127.0.0.53 169.254.1.1",
    "fd00:96::1 fe80::1 ::1 2001:db8::1 ff02::fb",
    "2026-01-02T03:04:05.678Z info  device ready name=czctl0",
    "czctl 0.1.0, Node v20.20.2, kernel 6.18.0",
    "no token yet; the secret is not known; password unknown",
    "frontend.shop.svc.cluster.local in namespace shop, also al",
    "<key-1> and <address-3>",
  ])
    t.equal(redactor.redact(text), text);
  t.strictSame(redactor.found, {});
});

t.test("the same is the same everywhere, and others are others", async t => {
  const redactor = new Redactor([]);
  t.equal(redactor.redact("93.184.216.34 1.1.1.1 93.184.216.34"), "<address-1> <address-2> <address-1>");
  t.equal(redactor.redact("1.1.1.1 8.8.8.8"), "<address-2> <address-3>");
  t.strictSame(redactor.found, { address: 3 });
});

t.test("the archive is one that tar reads", async t => {
  const files = [
    { name: "empty", content: "" },
    { name: "ä.txt", content: "x".repeat(512) },
    { name: "b/c.txt", content: "ünïcode\n".repeat(300) },
  ];
  const path = join(t.testdir(), "a.tar.gz");
  writeFileSync(path, gzipSync(makeTar(files, 1_700_000_000)));
  const tar = (...args: string[]): string =>
    execFileSync("tar", args, { encoding: "utf8", env: { TZ: "UTC", PATH: process.env.PATH } });
  t.equal(tar("--quoting-style=literal", "-tzf", path), files.map(({ name }) => `${name}\n`).join(""));
  for (const { name, content } of files) t.equal(tar("-xzOf", path, name), content, name);
  t.match(tar("-tvzf", path), /-rw------- 0\/0 +3000 2023-11-14 22:13 b\/c.txt/);
  t.throws(() => makeTar([{ name: "n".repeat(101), content: "" }], 0), RangeError);
});
