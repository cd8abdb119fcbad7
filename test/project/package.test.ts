/** What users get: the packed tarball, installed globally into a temporary prefix without any install script. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { ROOT } from "./sources.js";

const TIMEOUT_MS = 110_000;

function npm(args: string[]): string {
  // Not the settings of the `npm test` that runs this.
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^npm_(config_global|config_prefix|package|lifecycle)/.test(name),
  );
  return execFileSync("npm", args, {
    cwd: ROOT,
    encoding: "utf8",
    env: Object.fromEntries(inherited),
    timeout: TIMEOUT_MS,
  });
}

t.test("npm pack, npm i -g of it, czctl version", { timeout: 2 * TIMEOUT_MS }, async t => {
  const dir = mkdtempSync(join(tmpdir(), "czctl-package-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  // The build that these tests run from is the one that is packed.
  const packed = JSON.parse(npm(["pack", "--ignore-scripts", "--json", "--pack-destination", dir])) as {
    filename: string;
    files: { path: string }[];
  }[];
  const files = packed[0]?.files.map(file => file.path) ?? [];
  for (const wanted of ["package.json", "README.md", "LICENSE", "CHANGELOG.md", "dist/bundle/cli/main.js"]) {
    t.ok(files.includes(wanted), `contains ${wanted}`);
  }
  t.same(
    files.filter(file => /^(test|bench|demo|scripts|dist\/test)\/|\.ts$|\.map$/.test(file)),
    [],
    "and nothing of ours alone",
  );

  const prefix = join(dir, "prefix");
  const tarball = join(dir, packed[0]?.filename ?? "");
  npm([
    "install",
    "--global",
    "--prefix",
    prefix,
    "--ignore-scripts",
    "--prefer-offline",
    "--no-fund",
    "--no-audit",
    tarball,
  ]);
  const version = execFileSync(join(prefix, "bin/czctl"), ["version"], { encoding: "utf8" });
  const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { version: string };
  t.match(version, manifest.version, "czctl version");
});
