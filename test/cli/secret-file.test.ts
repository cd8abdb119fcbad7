/** `agent invite --output`: a private key is nobody else's to read, whatever the umask. */
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { parseCredential } from "../../src/catalog/index.js";
import { Laptop } from "../daemon/laptop.js";

t.test("agent invite --output FILE", async t => {
  const laptop = new Laptop();
  t.teardown(() => laptop.close());
  const dir = join(laptop.dir, "agent");
  const output = join(laptop.dir, "alice.json");
  const invite = (name: string, ...more: string[]) =>
    laptop.czctl(["agent", "invite", name, "--dir", dir, "--output", output, ...more]);

  t.match((await invite("alice")).stderr, "no agent", "in this directory");
  t.notOk(existsSync(output), "and nothing is left behind");

  await laptop.czctl(["agent", "init", "--dir", dir, "--endpoint", "192.0.2.1:51820"]);
  const made = await invite("alice", "--json");
  t.equal(made.code, 0, made.stderr);
  t.equal(statSync(output).mode & 0o777, 0o600);
  const { privateKey } = parseCredential(readFileSync(output, "utf8"));
  t.notOk(made.stdout.includes(privateKey), "it is there only");

  writeFileSync(output, "precious");
  const again = await invite("bob");
  t.equal(again.code, 2);
  t.match(again.stderr, `czctl: cannot make ${output}: it is there already`);
  t.equal(readFileSync(output, "utf8"), "precious");
  t.notMatch((await laptop.czctl(["agent", "peers", "--dir", dir])).stdout, "bob", "no device in vain");
});
