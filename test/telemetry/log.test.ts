/** Log lines as other programs get them, from processes of their own: what is on standard error when they end. */
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";

const ROOM = new URL("../../src/telemetry/index.js", import.meta.url).href;
const CLI = fileURLToPath(new URL("../../bundle/cli/main.js", import.meta.url));

/** Standard error of a process that logs what `body` says, and exits in the same turn. */
function logged(format: string, level: string, body: string): string {
  const script = `
    import { openLog } from ${JSON.stringify(ROOM)};
    const log = await openLog({ level: "${level}", format: "${format}", component: "agent" });
    ${body}
    process.exit(0);`;
  return spawnSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" }).stderr;
}

const objects = (text: string): Record<string, unknown>[] =>
  text
    .split("\n")
    .slice(0, -1)
    .map(line => JSON.parse(line) as Record<string, unknown>);

t.test("JSON: one object a line, the level by name, the fields beside", async t => {
  const [first, second, ...others] = objects(
    logged(
      "json",
      "info",
      `log.debug("not this");
       log.info("agent runs", { devices: 3, endpoint: "x:1" });
       log.error("line\\nbreak", { error: new Error("why", { cause: new Error("deeper") }) });`,
    ),
  );
  t.same(others, []);
  t.match(first, { level: "info", component: "agent", msg: "agent runs", devices: 3, endpoint: "x:1" });
  t.ok(Math.abs(Date.parse(first?.time as string) - Date.now()) < 60_000, String(first?.time));
  t.match(second, {
    level: "error",
    msg: "line\nbreak",
    error: { message: "why", cause: { message: "deeper" } },
  });
});

t.test("levels: each says what is at least as important", async t => {
  const all = "for (const level of ['debug', 'info', 'warn', 'error']) log[level](level);";
  for (const [i, level] of ["debug", "info", "warn", "error"].entries()) {
    t.equal(objects(logged("json", level, all)).length, 4 - i, level);
    t.equal(logged("text", level, all).trim().split("\n").length, 4 - i, `${level}, text`);
  }
});

t.test("fields by the names of secrets are masked, wherever they are", async t => {
  const body = `log.warn("x", { privateKey: "SECRET", peer: { presharedKey: "SECRET", name: "ann" } });`;
  for (const format of ["json", "text"]) {
    const text = logged(format, "debug", body);
    t.notMatch(text, /SECRET/, format);
    t.match(text, /ann/, format);
  }
});

t.test("an agent's log at its most talkative holds none of its keys", { timeout: 60_000 }, async t => {
  const dir = mkdtempSync(join(tmpdir(), "czctl-log-"));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const agent = ["--dir", join(dir, "agent")];
  const port = 20_000 + (process.pid % 20_000);
  const czctl = (...words: string[]): string =>
    execFileSync(process.execPath, [CLI, "agent", ...words, ...agent], { encoding: "utf8" });
  czctl("init", "--endpoint", `127.0.0.1:${port}`);
  const credential = JSON.parse(czctl("invite", "ann")) as { privateKey: string; presharedKey: string };
  const { privateKey } = JSON.parse(readFileSync(join(dir, "agent/agent.json"), "utf8"));
  const secrets = [privateKey, credential.privateKey, credential.presharedKey] as string[];
  t.ok(secrets.every(secret => secret.length === 44));
  for (const format of ["json", "text"]) {
    const words = ["agent", "run", ...agent, "--log-level", "debug", "--log-format", format];
    const child = spawn(process.execPath, [CLI, ...words], { stdio: ["ignore", "ignore", "pipe"] });
    const text = await untilItRuns(child);
    if (format === "json") t.ok(objects(text).some(({ msg }) => msg === "agent runs"));
    for (const secret of secrets) t.notOk(text.includes(secret), format);
  }
});

/** Everything that it says until it has started, been told to stop, and ended. */
async function untilItRuns(child: ChildProcess): Promise<string> {
  let text = "";
  child.stderr?.setEncoding("utf8").on("data", (chunk: string) => {
    const before = text.includes("agent runs");
    text += chunk;
    // Once: a second signal would end it before it has cleared up.
    if (!before && text.includes("agent runs")) child.kill("SIGTERM");
  });
  await new Promise(resolve => child.once("close", resolve));
  return text;
}
