import { execFileSync, fork, spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmdirSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t from "tap";
import { recover, writeBackup } from "../../src/dns/hosts-backup.js";
import { replaceSection } from "../../src/dns/hosts-section.js";
import { renderSection, updateHosts } from "../../src/dns/index.js";

const FOREIGN = "127.0.0.1 localhost\n::1 localhost # \xe4\n10.0.0.1\tlast without newline";

function lines(count: number): string[] {
  return renderSection(
    Array.from({ length: count }, (_, i) => ({ address: `198.18.1.${i}`, names: [`s${i}.ns`] })),
  );
}

function files(t: { testdir(): string }, content: string = FOREIGN) {
  const folder = t.testdir();
  const path = join(folder, "hosts");
  writeFileSync(path, content, "latin1");
  const backupPath = join(folder, "hosts.backup");
  const read = () => readFileSync(path, "latin1");
  return { folder, path, backupPath, read };
}

// The part that a child process runs: rewrites the section until it is killed.
if (process.argv[2] === "rewrite") {
  const [path, backupPath] = process.argv.slice(3) as [string, string];
  const parent = process.ppid;
  for (let i = 0; process.ppid === parent; i++) {
    updateHosts(path, i % 3 === 0 ? null : lines((i % 5) * 20), { backupPath });
    if (i === 0) process.send?.("running");
  }
}

t.test("in and out: same inode, same mode, no needless write, nothing left behind", async t => {
  const { path, backupPath, read } = files(t);
  chmodSync(path, 0o640);
  const before = statSync(path);
  t.match(updateHosts(path, lines(2), { backupPath }), { changed: true, keptBackup: null });
  t.match(
    read(),
    /^127[\s\S]*\n###\n# CODEZERO\n[\s\S]*s1\.ns\n# \/CODEZERO\n###\n10\.0\.0\.1\tlast without newline$/,
  );
  const written = statSync(path, { bigint: true });
  t.match(updateHosts(path, lines(2), { backupPath }), { changed: false });
  t.equal(statSync(path, { bigint: true }).mtimeNs, written.mtimeNs, "not written");
  t.match(updateHosts(path, lines(50), { backupPath }), { changed: true });
  t.match(updateHosts(path, lines(1)), { changed: true }, "without a backup as well");
  t.match(updateHosts(path, null, { backupPath }), { changed: true });
  t.equal(read(), FOREIGN);
  t.match(updateHosts(path, null, { backupPath }), { changed: false });
  const after = statSync(path);
  t.strictSame([after.ino, after.mode], [before.ino, before.mode]);
  t.notOk(existsSync(backupPath));
  t.notOk(existsSync(`${backupPath}.new`));
});

t.test("a huge file", async t => {
  const huge = "10.20.30.40 some-host-of-a-block-list.example.com\n".repeat(100_000);
  const { path, backupPath, read } = files(t, huge);
  updateHosts(path, lines(3), { backupPath });
  t.equal(read().length, huge.length + lines(3).join("\n").length + 1);
  updateHosts(path, null, { backupPath });
  t.ok(read() === huge);
});

t.test("no file: made for a section, not for its absence; a link is followed", async t => {
  const { folder, path } = files(t);
  const missing = join(folder, "missing");
  t.match(updateHosts(missing, null), { changed: false });
  t.notOk(existsSync(missing));
  t.match(updateHosts(missing, lines(1)), { changed: true });
  t.equal(readFileSync(missing, "utf8"), `${lines(1).join("\n")}\n`);
  const link = join(folder, "link");
  symlinkSync(path, link);
  updateHosts(link, lines(1));
  t.match(readFileSync(path, "latin1"), /CODEZERO/);
});

t.test("what cannot be edited is an error of the environment, in one line, and stays as it is", async t => {
  const { folder, path, read } = files(t);
  t.throws(() => updateHosts(folder, lines(1)), {
    code: "HOSTS_FAILED",
    category: "environment",
    message: /EISDIR/,
  });
  const backupPath = join(folder, "no", "such", "folder");
  t.throws(() => updateHosts(path, lines(1), { backupPath }), { code: "HOSTS_FAILED" });
  const lock = () => {
    throw new Error("locked");
  };
  t.throws(() => updateHosts(path, lines(1), { lock }), { code: "HOSTS_FAILED", message: /locked/ });
  t.equal(read(), FOREIGN);
});

t.test(
  "the lock is taken before the file is read; a file that was replaced meanwhile is opened anew",
  async t => {
    const { folder, path, read } = files(t);
    let calls = 0;
    updateHosts(path, lines(1), {
      lock: () => {
        if (calls++ > 0) return;
        // An editor that saves by renaming, while we wait.
        writeFileSync(join(folder, "new"), "10.7.7.7 edited\n");
        renameSync(join(folder, "new"), path);
      },
    });
    t.equal(calls, 2);
    t.equal(read(), `10.7.7.7 edited\n${lines(1).join("\n")}\n`);
  },
);

t.test("torn anywhere: mended from the backup", async t => {
  for (const [from, to] of [
    [0, 3],
    [3, 1],
    [2, 0],
  ] as const) {
    const foreign = Buffer.from(FOREIGN, "latin1");
    const old = replaceSection(foreign, from === 0 ? null : lines(from));
    const next = replaceSection(foreign, to === 0 ? null : lines(to));
    const { path, backupPath } = files(t);
    for (let at = 0; at <= next.length; at += 5) {
      // Blocks may get to the disk in any order: from the front, from the back, not at all.
      const states = [
        Buffer.concat([next.subarray(0, at), old.subarray(at)]),
        Buffer.concat([old.subarray(0, at), Buffer.alloc(Math.max(0, at - old.length)), next.subarray(at)]),
        Buffer.concat([old, Buffer.alloc(Math.max(0, at - old.length))]),
      ];
      for (const state of states) {
        writeBackup(backupPath, old, next);
        writeFileSync(path, state);
        const fd = openSync(path, "r+");
        const result = recover(fd, backupPath);
        closeSync(fd);
        const now = readFileSync(path);
        const whole = state.equals(old) || state.equals(next);
        if (result !== (whole ? "none" : "mended")) t.fail(`${from}→${to} at ${at}: ${result}`);
        if (!(whole ? now.equals(state) : now.equals(old))) t.fail(`${from}→${to} at ${at}: wrong content`);
        if (existsSync(backupPath)) t.fail("backup left");
      }
    }
  }
  t.pass();
});

t.test("torn, then edited by hand: the file is believed, the backup kept for the user", async t => {
  const { path, backupPath, read } = files(t);
  const old = Buffer.from(FOREIGN, "latin1");
  writeBackup(backupPath, old, replaceSection(old, lines(5)));
  writeFileSync(path, "10.8.8.8 rewritten\n");
  const { keptBackup } = updateHosts(path, null, { backupPath });
  t.equal(read(), "10.8.8.8 rewritten\n");
  t.equal(keptBackup, `${backupPath}.kept`);
  t.match(readFileSync(keptBackup as string, "latin1"), FOREIGN);
  t.match(updateHosts(path, null, { backupPath }), { changed: false, keptBackup: null });
});

t.test("a backup that was itself cut off is no backup: the file was not touched yet", async t => {
  const { path, backupPath, read } = files(t);
  const old = Buffer.from(FOREIGN, "latin1");
  for (const missing of [1, 100, 300, 1e6]) {
    writeBackup(backupPath, old, replaceSection(old, lines(5)));
    truncateSync(backupPath, Math.max(0, statSync(backupPath).size - missing));
    t.match(updateHosts(path, null, { backupPath }), { changed: false, keptBackup: null });
    t.equal(read(), FOREIGN);
  }
});

t.test("killed at any moment: the next run gives the file back", async t => {
  const { path, backupPath, read } = files(t);
  for (let round = 0; round < 12; round++) {
    const child = fork(fileURLToPath(import.meta.url), ["rewrite", path, backupPath], { stdio: "ignore" });
    await once(child, "message");
    // The rounds end at different moments of the cycle.
    await new Promise(resolve => setTimeout(resolve, 3 + round * 1.7));
    child.kill("SIGKILL");
    await once(child, "exit");
    updateHosts(path, null, { backupPath });
    t.equal(read(), FOREIGN, `round ${round}`);
    t.notOk(existsSync(backupPath));
  }
});

t.test("two editors that keep to the lock lose nothing to each other", async t => {
  const { folder, path, backupPath, read } = files(t, "127.0.0.1 localhost\n");
  // A lock that a shell can take as well: mkdir is atomic.
  const lockPath = join(folder, "lock");
  const script = `i=0; while [ $i -lt 60 ]; do until mkdir "$1" 2>/dev/null; do kill -0 $PPID || exit; done; echo "10.5.5.$i other-$i" >> "$2"; rmdir "$1"; i=$((i+1)); done`;
  const other = spawn("sh", ["-c", script, "sh", lockPath, path], { stdio: "ignore" });
  let done = false;
  other.on("exit", () => {
    done = true;
  });
  const locked = (work: (lock: () => void) => void) => {
    work(() => {
      for (;;) {
        try {
          return mkdirSync(lockPath);
        } catch {}
      }
    });
    rmdirSync(lockPath);
  };
  for (let i = 0; !done; i++) {
    locked(lock => updateHosts(path, i % 3 === 0 ? null : lines(i % 9), { backupPath, lock }));
    await new Promise(setImmediate);
  }
  updateHosts(path, null, { backupPath });
  const expected = Array.from({ length: 60 }, (_, i) => `10.5.5.${i} other-${i}\n`).join("");
  t.equal(read(), `127.0.0.1 localhost\n${expected}`);
});

/** Runs a shell script with its own mounts; $1 is `folder`. What it prints, or null where that is not possible. */
function withMounts(folder: string, script: string): string | null {
  const index = fileURLToPath(new URL("../../src/dns/index.js", import.meta.url));
  const update = `import { updateHosts } from "${index}";
    const body = Array(Number(process.argv[2])).fill("198.18.0.7 x.y.svc");
    const lines = body.length === 0 ? null : ["###", "# CODEZERO", ...body, "# /CODEZERO", "###"];
    const options = process.argv[3] === undefined ? {} : { backupPath: process.argv[3] };
    try { console.log(updateHosts(process.argv[1], lines, options).changed) } catch (e) { console.log(e.code) }`;
  const functions = `update() { node --input-type=module -e '${update}' "$@"; }\n`;
  try {
    execFileSync("unshare", ["-m", "mount", "-t", "tmpfs", "tmpfs", folder], { stdio: "ignore" });
  } catch {
    return null;
  }
  return execFileSync("unshare", ["-m", "sh", "-ec", functions + script, "sh", folder], { encoding: "utf8" });
}

t.test("a full disk: refused, and the file as it was", async t => {
  const { folder } = files(t);
  const out = withMounts(
    folder,
    `mount -t tmpfs -o size=8k tmpfs "$1"; printf '10.0.0.1 a' > "$1/hosts"; head -c 4000 /dev/zero > "$1/filler"
     update "$1/hosts" 900; cat "$1/hosts"`,
  );
  if (out === null) return t.comment("skipped: no mount namespace here");
  t.equal(out, "HOSTS_NO_SPACE\n10.0.0.1 a");
});

t.test("a disk that is full to the last byte: the section can be taken out all the same", async t => {
  const { folder } = files(t);
  const out = withMounts(
    folder,
    `mount -t tmpfs -o size=16k tmpfs "$1"; printf '10.0.0.1 a' > "$1/hosts"; update "$1/hosts" 30 "$1/backup"
     cat /dev/zero > "$1/filler" 2>/dev/null || :
     update "$1/hosts" 31 "$1/backup"; update "$1/hosts" 0 "$1/backup"; cat "$1/hosts"; ls "$1"`,
  );
  if (out === null) return t.comment("skipped: no mount namespace here");
  t.equal(out, "true\nHOSTS_NO_SPACE\ntrue\n10.0.0.1 afiller\nhosts\n");
});

t.test("a bind-mounted file is edited in place, a read-only one is refused", async t => {
  const { folder, read } = files(t);
  const out = withMounts(
    folder,
    `touch "$1/mounted"; mount --bind "$1/hosts" "$1/mounted"; update "$1/mounted" 1; update "$1/mounted" 0
     mount -o remount,bind,ro "$1/mounted"; update "$1/mounted" 1; update "$1/mounted" 0`,
  );
  if (out === null) return t.comment("skipped: no mount namespace here");
  t.equal(out, "true\ntrue\nHOSTS_READ_ONLY\nfalse\n", "nothing to take out: no error");
  t.equal(read(), FOREIGN);
});

t.test("somebody's append between two updates is kept", async t => {
  const { path, backupPath, read } = files(t, "127.0.0.1 localhost\n");
  updateHosts(path, lines(2), { backupPath });
  appendFileSync(path, "10.6.6.6 appended\n");
  updateHosts(path, lines(3), { backupPath });
  updateHosts(path, null, { backupPath });
  t.equal(read(), "127.0.0.1 localhost\n10.6.6.6 appended\n");
});
