/** What must be true of the files as a whole: nothing of the author's machine, every dependency accounted for. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { projectFiles, ROOT } from "./sources.js";

const read = (file: string): string => readFileSync(join(ROOT, file), "utf8");
const isText = (file: string): boolean => !/\.(png|ico|gz|tgz)$/.test(file);

/** Written so that they do not match themselves. */
const FORBIDDEN: readonly [RegExp, string][] = [
  [/[/](home|Users|work)[/][a-z]/, "a path of somebody's machine"],
  [/[/]root[/][.a-z]/, "a path of somebody's machine"],
  [/"resol[v]ed":/, "a registry's address in the lock file (set omit-lockfile-registry-resolved)"],
  [/registry[.][a-z]+[.][a-z]+|_auth[T]oken/, "a registry's address or login"],
];

t.test("no file names a machine's path or a registry", async t => {
  for (const file of projectFiles().filter(isText)) {
    const lines = read(file).split("\n");
    const faults = lines.flatMap((line, i) =>
      FORBIDDEN.filter(([pattern]) => pattern.test(line)).map(([, why]) => `${file}:${i + 1}: ${why}`),
    );
    if (faults.length > 0) t.same(faults, [], file);
  }
  t.ok(FORBIDDEN[0]?.[0].test(["", "home", "me"].join("/")), "the patterns find what they are for");
});

t.test("docs/dependencies.md lists every dependency, its version and why it is there", async t => {
  const manifest = JSON.parse(read("package.json")) as Record<string, Record<string, string>>;
  const text = read("docs/dependencies.md");
  const rows = [...text.matchAll(/^\| `([^`]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|/gm)];
  const listed = new Map(rows.map(row => [row[1], row]));
  const wanted = { ...manifest.dependencies, ...manifest.devDependencies };
  for (const [name, version] of Object.entries(wanted)) {
    const row = listed.get(name);
    t.ok(row, `${name} is listed`);
    t.equal(row?.[2]?.trim(), version, `${name}: version`);
    t.ok((row?.[4]?.trim().length ?? 0) > 10, `${name}: a reason`);
    t.match(version, /^\d+\.\d+\.\d+$/, `${name} is pinned`);
  }
  t.same(
    [...listed.keys()].filter(name => !(String(name) in wanted)),
    [],
    "nothing that is not there any more",
  );
});

t.test("users' machines compile nothing and run nothing at install", async t => {
  const lock = JSON.parse(read("package-lock.json")) as {
    packages: Record<string, { dev?: boolean; hasInstallScript?: boolean; optional?: boolean }>;
  };
  const scripts = Object.entries(lock.packages)
    .filter(([, entry]) => entry.hasInstallScript && !entry.dev)
    .map(([path]) => path);
  // koffi's script only builds where its prebuilt binary is missing; the package test runs without scripts.
  t.same(
    scripts.filter(path => path !== "node_modules/koffi"),
    [],
    "packages with install scripts",
  );
});
