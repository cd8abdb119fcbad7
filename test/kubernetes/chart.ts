/** deploy/chart as the real helm renders it, and each of its values with what it must do. */
import { execFileSync } from "node:child_process";
import { tmpdir } from "node:os";
import { fileURLToPath } from "node:url";
import { parseAllDocuments } from "yaml";
import type { Manifest } from "../../src/agent/manifests.js";
import { helmBinary } from "./cluster.js";

export const NO_HELM = "helm is not built: npm run test:kubernetes (needs Go)";
export const DEPLOY: string = fileURLToPath(new URL("../../../deploy/", import.meta.url));

export function helm(...words: string[]): string {
  // A HOME of nobody's: helm keeps its settings there.
  const env = { PATH: process.env.PATH, HOME: tmpdir() };
  return execFileSync(helmBinary() as string, words, { cwd: DEPLOY, encoding: "utf8", env });
}

/** @param set as `--set-json` takes them @param namespace where the release is */
export function renderText(set: readonly string[], namespace: string = "czctl"): string {
  const values = set.flatMap(one => ["--set-json", one]);
  const where = ["--namespace", namespace, "--kube-version", "1.36.0"];
  return helm("template", "czctl", "chart", ...where, ...values);
}

export function render(...set: string[]): Manifest[] {
  return parseAllDocuments(renderText(set)).map(document => document.toJS() as Manifest);
}

export const find = (objects: readonly Manifest[], kind: string, name?: string): Manifest =>
  objects.find(
    object => object.kind === kind && (name ?? object.metadata.name) === object.metadata.name,
  ) as Manifest;

/** The pod's spec. */
// biome-ignore lint/suspicious/noExplicitAny: as it was parsed
export const agentOf = (objects: readonly Manifest[]): any => find(objects, "Deployment").spec.template.spec;

/** Value as `--set-json` takes it, and what must then be so. */
export const CASES: Record<string, [string, (objects: Manifest[]) => unknown, unknown]> = {
  "image.repository": ['="r.example/czctl"', o => agentOf(o).containers[0].image, "r.example/czctl:0.1.0"],
  "image.tag": ['="9"', o => agentOf(o).containers[0].image, "czctl:9"],
  "image.pullPolicy": ['="Always"', o => agentOf(o).containers[0].imagePullPolicy, "Always"],
  imagePullSecrets: ['=[{"name":"x"}]', o => agentOf(o).imagePullSecrets, [{ name: "x" }]],
  replicas: ["=3", o => find(o, "Deployment").spec.replicas, 3],
  secretName: ['="s"', o => find(o, "Role").rules[0].resourceNames, ["s"]],
  policyName: ['="p"', o => find(o, "Role").rules[1].resourceNames, ["p"]],
  namespaces: ['=["a","b"]', o => o.filter(one => one.metadata.name === "czctl-discovery-czctl").length, 4],
  "service.type": ['="NodePort"', o => find(o, "Service").spec.type, "NodePort"],
  "service.port": ["=443", o => find(o, "Service").spec.ports[0].port, 443],
  "service.nodePort": ["=30820", o => find(o, "Service").spec.ports[0].nodePort, 30820],
  "service.annotations": ['={"a":"b"}', o => find(o, "Service").metadata.annotations, { a: "b" }],
  listenPort: ["=1234", o => agentOf(o).containers[0].ports[0].containerPort, 1234],
  metricsPort: ["=99", o => agentOf(o).containers[0].args.includes("--metrics-port=99"), true],
  logFormat: ['="text"', o => agentOf(o).containers[0].args.includes("--log-format=text"), true],
  logLevel: ['="debug"', o => agentOf(o).containers[0].args.includes("--log-level=debug"), true],
  drainSeconds: ["=5", o => agentOf(o).terminationGracePeriodSeconds, 15],
  resources: ['={"limits":{"cpu":"1"}}', o => agentOf(o).containers[0].resources.limits.cpu, "1"],
  "networkPolicy.enabled": ["=false", o => find(o, "NetworkPolicy"), undefined],
  createNamespace: ["=true", o => find(o, "Namespace").metadata.name, "czctl"],
  nodeSelector: ['={"a":"b"}', o => agentOf(o).nodeSelector, { a: "b" }],
  tolerations: ['=[{"key":"a"}]', o => agentOf(o).tolerations, [{ key: "a" }]],
};
