/**
 * deploy/Dockerfile without Docker: its own COPY and RUN steps, run in directories that stand for its stages (only the
 * base images are missing), and hadolint's opinion. What comes out is started as the image would be.
 */
import { execFileSync, spawnSync } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const DOCKERFILE = join(ROOT, "deploy/Dockerfile");
const LIMIT_MS = 5 * 60_000;
t.setTimeout(2 * LIMIT_MS);

type Step = [instruction: string, words: string];

const steps: Step[] = readFileSync(DOCKERFILE, "utf8")
  .replaceAll("\\\n", " ")
  .split("\n")
  .filter(line => line.trim() !== "" && !line.startsWith("#"))
  .map(line => [line.slice(0, line.indexOf(" ")), line.slice(line.indexOf(" ") + 1).trim()]);

/** As the builder sees the context: what deploy/Dockerfile.dockerignore lets through. */
const sent = readFileSync(`${DOCKERFILE}.dockerignore`, "utf8")
  .split("\n")
  .filter(line => line.startsWith("!"))
  .map(line => line.slice(1));

/** One directory for each stage; the last one is the image's. */
class Stages {
  readonly #dir = mkdtempSync(join(tmpdir(), "czctl-image-"));
  readonly #byName = new Map<string, string>();
  #root = "";
  #workdir = "/";

  constructor() {
    t.teardown(() => rmSync(this.#dir, { recursive: true, force: true }));
  }

  get root(): string {
    return this.#root;
  }

  run(instruction: string, words: string): void {
    if (instruction === "FROM") this.#from(words);
    else if (instruction === "WORKDIR") this.#workdir = words;
    else if (instruction === "COPY") this.#copy(words.split(/\s+/));
    else if (instruction === "RUN") {
      execFileSync("sh", ["-c", words], { cwd: this.#at("."), timeout: LIMIT_MS, stdio: "pipe" });
    }
  }

  #from(words: string): void {
    const [, name = "last"] = /\bAS\s+(\S+)/.exec(words) ?? [];
    this.#root = join(this.#dir, name);
    this.#byName.set(name, this.#root);
    this.#workdir = "/";
  }

  #copy(words: string[]): void {
    const from = words[0]?.startsWith("--from=") ? words.shift()?.slice("--from=".length) : undefined;
    const to = words.pop() as string;
    for (const source of words) {
      if (from === undefined && !sent.includes(source)) throw new Error(`${source} is not in the context`);
      const path = from === undefined ? join(ROOT, source) : join(this.#byName.get(from) as string, source);
      cpSync(path, to.endsWith("/") ? join(this.#at(to), basename(source)) : this.#at(to), {
        recursive: true,
      });
    }
  }

  #at(path: string): string {
    const dir = join(this.#root, path.startsWith("/") ? "" : this.#workdir, path);
    if (path.endsWith("/") || path === ".") mkdirSync(dir, { recursive: true });
    return dir;
  }
}

function bytesOf(path: string): number {
  if (!statSync(path).isDirectory()) return statSync(path).size;
  return readdirSync(path).reduce((sum, name) => sum + bytesOf(join(path, name)), 0);
}

t.test(
  "hadolint",
  { skip: process.env.CZCTL_TEST_HADOLINT ? false : "hadolint was not to be had" },
  async t => {
    const { stdout, status } = spawnSync(process.env.CZCTL_TEST_HADOLINT as string, [DOCKERFILE], {
      encoding: "utf8",
    });
    t.equal(stdout, "");
    t.equal(status, 0);
  },
);

t.test("stages: tools stay behind, and nobody is root", async t => {
  const froms = steps.filter(([instruction]) => instruction === "FROM").map(([, words]) => words);
  t.equal(froms.length, 2);
  t.match(froms[1], /distroless.*:nonroot$/, "no shell, no package manager");
  t.same(
    steps.filter(([instruction]) => instruction === "USER"),
    [["USER", "65532:65532"]],
    "by number: the kubelet cannot judge a name (runAsNonRoot)",
  );
  t.same(
    steps.filter(([instruction]) => ["ADD", "EXPOSE", "ENV", "ARG"].includes(instruction)),
    [],
    "nothing fetched, nothing that could hold a secret",
  );
});

t.test("its steps run, and what they leave is an agent", { timeout: LIMIT_MS }, async t => {
  const stages = new Stages();
  for (const [instruction, words] of steps) stages.run(instruction, words);
  const image = stages.root;
  const entry = JSON.parse(steps.find(([name]) => name === "ENTRYPOINT")?.[1] ?? "[]") as string[];
  t.equal(entry[0], "/nodejs/bin/node", "distroless' own");
  const main = join(image, entry[1] as string);
  const run = (...words: string[]): string =>
    execFileSync(process.execPath, [main, ...words], { cwd: "/", encoding: "utf8" });
  const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  t.match(run("version"), version);
  const dir = join(image, "run/agent");
  run("agent", "init", "--dir", dir, "--endpoint", "127.0.0.1:51820");
  t.ok(existsSync(join(dir, "agent.json")));
  const modules = join(image, "czctl/node_modules");
  t.same(
    ["typescript", "tap", "@biomejs/biome"].filter(name => existsSync(join(modules, name))),
    [],
    "no tool of ours in it",
  );
  t.same(readdirSync(join(image, "czctl")).sort(), ["dist", "node_modules", "package.json"]);
  t.comment(`on top of its base the image holds ${(bytesOf(join(image, "czctl")) / 1e6).toFixed(0)} MB`);
});
