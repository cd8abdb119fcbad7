/** The demo as users run it: as root, as an ordinary user, and interrupted half-way. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { assert, assertEqual, lab } from "./lab.js";
import { eventually, execute, Program, type Result } from "./program.js";

const DEMO = fileURLToPath(new URL("../../demo/main.js", import.meta.url));
const LIMIT_MS = 120_000;

/** An ordinary user of a usual machine, where everybody may open /dev/net/tun. It has a mount of its own for that. */
const AS_USER = `
mount -t tmpfs -o mode=0755 dev /dev/net
mknod -m 666 /dev/net/tun c 10 200
exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
`;

/** What runs in this sandbox besides us: by command line. */
function processes(): string[] {
  const commands: string[] = [];
  for (const pid of readdirSync("/proc").filter(name => /^\d+$/.test(name))) {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
      if (command !== "" && Number(pid) !== process.pid) commands.push(command);
    } catch {
      // Ended meanwhile.
    }
  }
  return commands;
}

function assertDemo(result: Result): string {
  const last = result.stdout.trimEnd().split("\n").at(-1) ?? "";
  assert(last.startsWith("{"), `the last line is no JSON: ${last}\n${result.stdout}\n${result.stderr}`);
  const report = JSON.parse(last) as { demo: string; steps: { name: string; ok: boolean; detail: string }[] };
  const failed = report.steps.filter(step => !step.ok).map(step => `${step.name}: ${step.detail}`);
  assertEqual(failed, [], "failed steps");
  assertEqual([report.demo, result.code], ["ok", 0], "outcome");
  return `${report.steps.length} steps in ${Math.round(result.ms)} ms`;
}

await lab(import.meta.url, async ({ check }) => {
  const before = processes();
  await check(
    "as this user",
    async () =>
      assertDemo(await execute("demo", process.execPath, [DEMO, "--json"], { timeoutMs: LIMIT_MS })),
    { needs: ["/dev/net/tun"], timeoutMs: LIMIT_MS },
  );
  await check(
    "as an ordinary user, from root",
    async () => {
      const args = ["--mount", "sh", "-ec", AS_USER, "sh", process.execPath, DEMO, "--json"];
      return assertDemo(await execute("demo", "unshare", args, { timeoutMs: LIMIT_MS }));
    },
    { needsRoot: true, timeoutMs: LIMIT_MS },
  );
  for (const [name, signal] of [
    ["Ctrl-C", "SIGINT"],
    ["SIGTERM", "SIGTERM"],
    ["kill -9", "SIGKILL"],
  ] as const) {
    await check(
      `${name} half-way leaves nothing`,
      async () => {
        const demo = new Program("demo", process.execPath, [DEMO]);
        await demo.waitForLine(/^✓ agent /m, 30_000);
        assert(processes().length > before.length, "nothing runs");
        demo.kill(signal);
        const { code } = await demo.exited;
        await eventually("everything ended", () => assertEqual(processes(), before, "processes"), 5_000);
        return `exit ${code}`;
      },
      { needs: ["/dev/net/tun"] },
    );
  }
});
