/**
 * Makes a clone runnable with nothing but Node: `npm ci` when the installed packages are not those of the lock
 * file, a build when a source is newer than the last one. Plain JavaScript, since nothing is compiled yet.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SOURCES = ["src", "test", "bench", "demo"];
/** Say how these are built. */
const SETTINGS = ["tsconfig.json", "scripts/bundle.mjs"];
const STAMP = join(ROOT, "dist/.built");

/** Runs in the project's root, output to standard error; false when it fails. */
export function run(command, args, options = {}) {
  return spawnSync(command, args, { cwd: ROOT, stdio: ["ignore", 2, 2], ...options }).status === 0;
}

/** Runs a script of ours to its end, passing signals on; its exit code. */
export function runScript(path, args) {
  const child = spawn(process.execPath, [join(ROOT, path), ...args], { stdio: "inherit" });
  // The terminal's Ctrl-C reaches the child by itself; another process's signal does not.
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
  return new Promise(resolve => child.once("exit", code => resolve(code ?? 130)));
}

/** By content, not by date: a checkout touches the lock file without changing it. */
function packagesAreCurrent() {
  const hidden = join(ROOT, "node_modules/.package-lock.json");
  if (!existsSync(hidden)) return false;
  const read = file => JSON.parse(readFileSync(file, "utf8")).packages;
  const installed = read(hidden);
  return Object.entries(read(join(ROOT, "package-lock.json"))).every(([path, wanted]) => {
    if (path === "") return true;
    const found = installed[path];
    return found === undefined ? wanted.optional === true : found.version === wanted.version;
  });
}

export function installPackages() {
  if (packagesAreCurrent()) return;
  console.error("installing packages: npm ci");
  if (!run("npm", ["ci", "--no-fund", "--no-audit"])) throw new Error("npm ci failed");
}

function* files(dir) {
  if (!existsSync(dir)) return;
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    if (entry.isDirectory()) yield* files(path);
    else yield path;
  }
}

function buildIsCurrent() {
  if (!existsSync(STAMP)) return false;
  const built = statSync(STAMP).mtimeMs;
  const isOld = path => statSync(path).mtimeMs < built;
  const inputs = [
    ...SETTINGS.map(file => join(ROOT, file)),
    ...SOURCES.flatMap(dir => [...files(join(ROOT, dir))]),
  ];
  return inputs.every(isOld);
}

/** Removes the output of sources that are gone, so that no test or package contains it. */
function prune() {
  for (const dir of SOURCES) {
    for (const output of files(join(ROOT, "dist", dir))) {
      const source = output.slice(join(ROOT, "dist/").length).replace(/(\.d\.ts|\.js|\.js\.map)$/, ".ts");
      if (!existsSync(join(ROOT, source))) rmSync(output);
    }
  }
}

export function build() {
  if (buildIsCurrent()) return;
  console.error("building: tsc, esbuild");
  const startedAt = new Date();
  prune();
  const tsc = ["node_modules/typescript/bin/tsc", "-p", "tsconfig.json"];
  const steps = [tsc, ["scripts/bundle.mjs"]];
  if (!steps.every(step => run(process.execPath, step))) throw new Error("the build failed");
  writeFileSync(STAMP, "");
  // What was edited while the compiler ran counts as newer.
  utimesSync(STAMP, startedAt, startedAt);
}

/** Both; ends the process with a message when one fails. */
export function makeReady() {
  try {
    installPackages();
    build();
  } catch (error) {
    console.error(error.message);
    process.exit(1);
  }
}
