/** The hosts file beside editors that know of no lock: whatever they add stays, whatever we do meanwhile. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import type { Settings } from "../../src/api/index.js";
import { writeHosts } from "../../src/daemon/hosts.js";
import { renderSection } from "../../src/dns/index.js";

const FOREIGN = "127.0.0.1 localhost\n::1 localhost # \xe4\n";
const EDITS = 400;

/** Each adds `EDITS` lines of its own to the file $1, in its own way; $2 is its name. */
const EDITORS = {
  "echo >> file": `
    i=0; while [ $i -lt ${EDITS} ]; do echo "10.5.5.5 $2-$i" >> "$1"; /bin/true; i=$((i+1)); done`,
  "a copy that is renamed": `
    i=0; while [ $i -lt ${EDITS} ]; do
      cat "$1" > "$1.$2"; echo "10.5.5.5 $2-$i" >> "$1.$2"; mv "$1.$2" "$1"; i=$((i+1)); done`,
  "read, then written over": `
    i=0; while [ $i -lt ${EDITS} ]; do
      text=$(cat "$1"; echo "10.5.5.5 $2-$i"); printf '%s\\n' "$text" > "$1"; i=$((i+1)); done`,
} as const;

function lines(count: number): string[] {
  return renderSection(
    Array.from({ length: count }, (_, i) => ({ address: `198.18.1.${i}`, names: [`s${i}.ns.svc`] })),
  );
}

function ended(child: ChildProcess): Promise<unknown> {
  return new Promise(resolve => child.once("exit", resolve));
}

for (const [name, script] of Object.entries(EDITORS)) {
  t.test(`an editor without a lock: ${name}`, async t => {
    const dir = t.testdir();
    const settings = { hostsFile: join(dir, "hosts"), stateDir: dir } as Settings;
    writeFileSync(settings.hostsFile, FOREIGN, "latin1");
    // Two that append do each other no harm; of those that copy, one alone would lose the other's lines by itself.
    const names = name.startsWith("echo") ? ["a", "b"] : ["a"];
    const editors = names.map(each => spawn("sh", ["-c", script, "sh", settings.hostsFile, each]));
    let running = true;
    const all = Promise.all(editors.map(ended)).then(() => {
      running = false;
    });
    let rounds = 0;
    let writes = 0;
    while (running) {
      try {
        rounds++;
        if (writeHosts(settings, rounds % 3 === 0 ? null : lines((rounds * 7) % 23)).changed) writes++;
      } catch (error) {
        // Faster than us for the length of all our attempts: then we leave the file alone.
        t.match(error, { code: "HOSTS_FAILED", message: /another program keeps/ });
      }
      await new Promise(setImmediate);
    }
    await all;
    writeHosts(settings, null);
    const left = readFileSync(settings.hostsFile, "latin1");
    t.ok(left.startsWith(FOREIGN), "what was there before");
    const found = left.slice(FOREIGN.length).trimEnd().split("\n").sort();
    const wanted = names.flatMap(each => Array.from({ length: EDITS }, (_, i) => `10.5.5.5 ${each}-${i}`));
    t.strictSame(found, wanted.sort(), `after ${writes} writes of ours`);
    t.notOk(existsSync(join(dir, "hosts.backup")));
  });
}
