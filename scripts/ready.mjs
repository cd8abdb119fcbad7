/**
 * Makes a clone runnable with nothing but Node: `npm ci` when the installed packages are not those of the lock
 * file, a build when a source is newer than the last one. Plain JavaScript, since nothing is compiled yet.
 */
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("..", import.meta.url));
const SOURCES = ["src", "test", "bench", "demo"];
const STAMP = join(ROOT, "dist/.built");

/** Runs in the project's root with inherited output (on standard error); false when it fails. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: ROOT, stdio: ["ignore", 2, 2], ...options });
  return result.status === 0;
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

function newestChange(dir) {
  let newest = 0;
  for (const entry of readdirSync(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    const time = entry.isDirectory() ? newestChange(path) : statSync(path).mtimeMs;
    if (time > newest) newest = time;
  }
  return newest;
}

function buildIsCurrent() {
  if (!existsSync(STAMP)) return false;
  const built = statSync(STAMP).mtimeMs;
  const changed = Math.max(
    statSync(join(ROOT, "tsconfig.json")).mtimeMs,
    ...SOURCES.map(dir => newestChange(join(ROOT, dir))),
  );
  return built > changed;
}

export function installPackages() {
  if (packagesAreCurrent()) return;
  console.error("installing packages: npm ci");
  if (!run("npm", ["ci", "--no-fund", "--no-audit"])) throw new Error("npm ci failed");
}

export function build() {
  if (buildIsCurrent()) return;
  console.error("building: tsc");
  const startedAt = new Date();
  if (!run(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "tsconfig.json"]))
    throw new Error("the build failed");
  mkdirSync(join(ROOT, "dist"), { recursive: true });
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
