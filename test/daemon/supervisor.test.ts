/** When the supervisor starts a daemon again, when it gives up, and what it does in between. */
import { existsSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t, { type Test } from "tap";
import { textLogger } from "../../src/base/index.js";
import { supervise } from "../../src/daemon/index.js";
import { eventually } from "./laptop.js";

interface Run {
  code: number;
  starts: number;
  cleanUps: number;
  log: string;
}

/** @param body of the script that is the daemon; `starts` is how often it was started, this time included */
async function run(t: Test, body: string, abort: AbortController = new AbortController()): Promise<Run> {
  const dir = t.testdir({ starts: "" });
  const entry = join(dir, "daemon.mjs");
  writeFileSync(
    entry,
    `import { appendFileSync, readFileSync } from "node:fs";
     appendFileSync(${JSON.stringify(join(dir, "starts"))}, "x");
     const starts = readFileSync(${JSON.stringify(join(dir, "starts"))}, "utf8").length;
     ${body}`,
  );
  let log = "";
  let cleanUps = 0;
  const code = await supervise({
    env: process.env,
    signal: abort.signal,
    log: textLogger({
      now: () => new Date(0),
      write: line => {
        log += line;
      },
      level: "info",
    }),
    lockFd: openSync(join(dir, "lock"), "a"),
    cleanUp: async () => {
      cleanUps++;
    },
    entry,
  });
  return { code, starts: readFileSync(join(dir, "starts"), "utf8").length, cleanUps, log };
}

t.test("a daemon that ends by itself is not started again", async t => {
  t.strictSame(await run(t, "process.exit(0)"), { code: 0, starts: 1, cleanUps: 0, log: "" });
});

t.test("a daemon that is killed is cleaned up after and started again", async t => {
  const result = await run(t, `if (starts === 1) process.kill(process.pid, "SIGKILL"); process.exit(0);`);
  t.match(result, {
    code: 0,
    starts: 2,
    cleanUps: 1,
    log: /the daemon died; starting it again how=SIGKILL delayMs=0/,
  });
});

t.test("a configuration error would only repeat", async t => {
  const result = await run(t, "process.exit(3)");
  t.match(result, { code: 3, starts: 1, cleanUps: 1, log: /cannot run as it is configured/ });
});

t.test("after failures in a row it gives up and says so", async t => {
  const result = await run(t, "process.exit(1)");
  t.match(result, { code: 1, starts: 6, cleanUps: 6, log: /giving up failures=6 how="exit code 1"/ });
});

t.test("told to stop, it tells the daemon", async t => {
  const abort = new AbortController();
  const ready = join(t.testdirName, "ready");
  const running = run(
    t,
    `import { writeFileSync } from "node:fs";
     process.on("SIGTERM", () => process.exit(0));
     setInterval(() => {}, 1000);
     writeFileSync(${JSON.stringify(ready)}, "");`,
    abort,
  );
  await eventually("the daemon listens for signals", () => existsSync(ready));
  abort.abort();
  t.match(await running, { code: 0, starts: 1, cleanUps: 0 });
});

t.test("the children of a dead daemon die with it", async t => {
  const file = join(t.testdirName, "child");
  const result = await run(
    t,
    `import { spawn } from "node:child_process";
     import { writeFileSync } from "node:fs";
     if (starts > 1) process.exit(0);
     const child = spawn(process.execPath, ["-e", "setInterval(() => {}, 1000)"]);
     writeFileSync(${JSON.stringify(file)}, String(child.pid));
     process.kill(process.pid, "SIGKILL");`,
  );
  t.equal(result.starts, 2);
  const stat = ((): string => {
    try {
      return readFileSync(`/proc/${readFileSync(file, "utf8")}/stat`, "latin1");
    } catch {
      return "gone";
    }
  })();
  t.match(stat, /gone|\) [ZX] /);
});
