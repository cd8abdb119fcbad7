/** Tables, units, and commands that need no daemon. */
import { spawnSync } from "node:child_process";
import t from "tap";
import { packageVersion } from "../../src/api/index.js";
import { formatBytes, formatDuration, formatTable } from "../../src/cli/output.js";
import { Laptop } from "../daemon/laptop.js";

t.test("tables are aligned, and cells cannot steer the terminal", async t => {
  const table = formatTable(
    ["A", "LONGER"],
    [
      ["first cell", "x"],
      ["b\u001b[2J\n", ""],
    ],
  );
  t.equal(table, "A             LONGER\nfirst cell    x\nb\\x1b[2J\\x0a");
});

t.test("bytes", async t => {
  const rows: [number, string][] = [
    [0, "0 B"],
    [999, "999 B"],
    [1000, "1.0 KiB"],
    [1024 * 1024, "1.0 MiB"],
    [5_000_000_000_000, "4656.6 GiB"],
  ];
  for (const [bytes, text] of rows) t.equal(formatBytes(bytes), text);
});

t.test("durations", async t => {
  const rows: [number, string][] = [
    [0, "0 ms"],
    [999.4, "999 ms"],
    [4_000, "4 s"],
    [65_000, "1 min 5 s"],
    [3_600_000, "1 h"],
    [90_061_000, "1 d 1 h"],
  ];
  for (const [ms, text] of rows) t.equal(formatDuration(ms), text);
});

t.test("commands without a daemon", async t => {
  const laptop = new Laptop();
  t.teardown(() => laptop.close());
  t.equal((await laptop.czctl(["version"])).stdout, `${packageVersion()}\n`);
  t.strictSame(await laptop.json("version"), { version: packageVersion() });
  // It may also name sockets of data planes that died on this machine.
  t.match((await laptop.czctl(["down"])).stdout, /^czctl is not running\.\n/);
  t.match((await laptop.czctl(["space", "list"])).stdout, "There is no space yet");

  for (const command of [
    "space",
    "up",
    "down",
    "restart",
    "status",
    "services",
    "primary-namespace",
    "consume",
    "trace-connections",
    "cleanup",
    "logs",
    "agent",
    "completion",
    "version",
  ]) {
    t.match((await laptop.czctl(["--help"])).stdout, `czctl ${command}`);
  }
  t.match((await laptop.czctl(["start", "--help"])).stdout, "--foreground", "alias of up");

  const edited = await laptop.czctl(["consume", "edit"]);
  t.match(edited.stderr, "there is no space yet");
});

t.test("completion: the scripts are valid, and czctl knows its words", async t => {
  const laptop = new Laptop();
  t.teardown(() => laptop.close());
  for (const shell of ["bash", "zsh", "fish"]) {
    const { stdout } = await laptop.czctl(["completion", shell]);
    const check = spawnSync(shell, ["-n"], { input: stdout });
    if (check.error === undefined) t.equal(check.status, 0, `${shell}: ${check.stderr}`);
    else t.pass(shell, { skip: `${shell} is not installed` });
  }
  const words = async (...line: string[]): Promise<string[]> =>
    (await laptop.czctl(["--get-yargs-completions", "czctl", ...line])).stdout.trim().split("\n");
  t.strictSame((await words("space", "")).sort(), [
    "add",
    "install",
    "invite",
    "list",
    "remove",
    "revoke",
    "select",
    "uninstall",
  ]);
  t.ok((await words("")).includes("trace-connections"));
});
