/** `node scripts/render-chart.mjs HELM`: writes deploy/czctl.yaml, the chart as plain manifests. */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { ROOT } from "./ready.mjs";

const HEADER =
  "# The chart in deploy/chart with its default values. Made by scripts/render-chart.mjs: do not edit.\n";
const words = ["template", "czctl", "deploy/chart", "--namespace", "czctl"];
const more = ["--set", "createNamespace=true", "--kube-version", "1.36.0"];
const { status, stdout } = spawnSync(process.argv[2], [...words, ...more], {
  cwd: ROOT,
  stdio: ["ignore", "pipe", 2],
  encoding: "utf8",
});
if (status !== 0) process.exit(1);
writeFileSync(join(ROOT, "deploy/czctl.yaml"), `${HEADER}${stdout}`);
