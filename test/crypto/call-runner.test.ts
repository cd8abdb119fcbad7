/** Where no machine code may be added to the process. */
import { execFileSync } from "node:child_process";
import t from "tap";

t.test("refused by the system: the same calls, one by one, and the reason is told", async t => {
  const child = new URL("no-code-child.js", import.meta.url).pathname;
  const output = execFileSync(process.execPath, ["--jitless", child], { encoding: "utf8", stdio: "pipe" });
  const { unsupported, name, fallbackReason } = JSON.parse(output);
  if (unsupported) {
    t.pass("", { skip: "this kernel cannot refuse it (PR_SET_MDWE, Linux 6.3)" });
    return;
  }
  t.equal(name, "openssl-primitives");
  t.equal(fallbackReason, "the system lets no code be added");
});
