/**
 * `npm run test:kubernetes [-- NAME…]`: the tests in `test/kubernetes/` against a real kube-apiserver with etcd.
 * Its last line is `N passed, N failed`.
 */
import { spawnSync } from "node:child_process";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { kubernetesPrograms } from "./kubernetes-binary.mjs";
import { makeReady, ROOT } from "./ready.mjs";
import { installSystemPackages } from "./system-packages.mjs";

const LIMIT_MS = 10 * 60_000;
const wanted = process.argv.slice(2);
makeReady();
installSystemPackages();
const env = { ...process.env, ...kubernetesPrograms() };
const files = readdirSync(join(ROOT, "test/kubernetes"))
  .filter(name => name.endsWith(".test.ts"))
  .map(name => name.slice(0, -".test.ts".length))
  .filter(name => wanted.length === 0 || wanted.includes(name));
let passed = 0;
let failed = 0;
for (const name of files) {
  console.log(`${name}:`);
  const file = join(ROOT, "dist/test/kubernetes", `${name}.test.js`);
  const { status, stdout } = spawnSync(process.execPath, [file], {
    env,
    stdio: ["ignore", "pipe", 2],
    encoding: "utf8",
    timeout: LIMIT_MS,
    maxBuffer: 1 << 28,
  });
  const lines = stdout.split("\n");
  // Top-level subtests and what they say, not each assertion.
  console.log(lines.filter(line => /^(ok|not ok|# (?!Subtest|time|\{))|^ +not ok/.test(line)).join("\n"));
  if (status !== 0) console.log(stdout);
  const bad = lines.filter(line => /^not ok /.test(line)).length;
  passed += lines.filter(line => /^ok /.test(line) && !/ # SKIP/.test(line)).length;
  failed += bad === 0 && status !== 0 ? 1 : bad;
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && files.length > 0 ? 0 : 1;
