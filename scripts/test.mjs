/**
 * `npm test [-- TIER…]`: the tiers `lint`, `unit` (with simulations) and `labs`, all of them by default. On a
 * fresh machine with nothing but Node it first installs what it needs. The last line is `N passed, N failed`.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { makeReady, ROOT, run } from "./ready.mjs";
import { installSystemPackages, unpackResolved } from "./system-packages.mjs";

const LAB_LIMIT_MS = 12 * 60_000;
const TAP_FILE = join(ROOT, "dist/unit.tap");
const TIERS = { lint, unit, labs };
const total = { passed: 0, failed: 0, skipped: 0 };

function count(name, { passed, failed, skipped }) {
  total.passed += passed;
  total.failed += failed;
  total.skipped += skipped;
  console.log(
    `${failed === 0 ? "✓" : "✗"} ${name}: ${passed} passed, ${failed} failed, ${skipped} skipped\n`,
  );
}

function lint() {
  const ok = run(process.execPath, ["node_modules/@biomejs/biome/bin/biome", "check", "."]);
  count("lint", { passed: ok ? 1 : 0, failed: ok ? 0 : 1, skipped: 0 });
}

function unit() {
  mkdirSync(join(ROOT, "dist"), { recursive: true });
  rmSync(TAP_FILE, { force: true });
  const tap = ["node_modules/.bin/tap", "run", "--reporter=terse", `--output-file=${TAP_FILE}`];
  const ok = run(process.execPath, tap);
  const text = existsSync(TAP_FILE) ? readFileSync(TAP_FILE, "utf8") : "";
  // tap's own count of assertions, the last such line: `# { total: 116, pass: 114, fail: 2 }`.
  const summary = text.match(/^# \{ total:.*\}$/gm)?.at(-1) ?? "";
  const number = key => Number(summary.match(new RegExp(`\\b${key}: (\\d+)`))?.[1] ?? 0);
  const result = { passed: number("pass"), failed: number("fail"), skipped: number("skip") + number("todo") };
  // A file that crashes or says nothing must not pass for success.
  if ((!ok || result.passed === 0) && result.failed === 0) result.failed = 1;
  count("unit", result);
}

async function labs() {
  // What takes minutes has a script of its own: `npm run lab:NAME`.
  const isLab = file => file.endsWith(".lab.ts") && !file.endsWith("-long.lab.ts");
  const names = readdirSync(join(ROOT, "test/lab")).filter(isLab);
  for (const name of names) await lab(name.replace(/\.ts$/, ".js"));
}

async function lab(file) {
  console.log(`${file.replace(/\.lab\.js$/, "")}:`);
  const child = spawn(process.execPath, [join(ROOT, "dist/test/lab", file)], {
    stdio: ["ignore", "pipe", 2],
  });
  const timer = setTimeout(() => child.kill("SIGTERM"), LAB_LIMIT_MS);
  let text = "";
  child.stdout.setEncoding("utf8").on("data", chunk => {
    text += chunk;
    process.stdout.write(chunk);
  });
  const code = await new Promise(resolve => child.once("close", resolve));
  clearTimeout(timer);
  const lines = text.split("\n");
  const isSkip = line => / # SKIP /.test(line);
  const passed = lines.filter(line => /^ok /.test(line) && !isSkip(line)).length;
  const skipped = lines.filter(isSkip).length;
  let failed = lines.filter(line => /^not ok /.test(line)).length;
  if (failed === 0 && (code !== 0 || !/^1\.\.\d+$/m.test(text))) failed = 1;
  count(file.replace(/\.lab\.js$/, ""), { passed, failed, skipped });
}

const wanted = process.argv.slice(2);
const unknown = wanted.filter(name => !(name in TIERS));
if (unknown.length > 0) {
  console.error(`no such tier: ${unknown.join(", ")} (there are ${Object.keys(TIERS).join(", ")})`);
  process.exit(2);
}
const tiers = wanted.length > 0 ? wanted : Object.keys(TIERS);
if (tiers.includes("labs")) {
  installSystemPackages();
  unpackResolved();
}
makeReady();
for (const name of tiers) await TIERS[name]();
if (total.skipped > 0) console.log(`${total.skipped} skipped (each says above what it lacks)`);
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed === 0 ? 0 : 1;
