/** What a data plane makes of V8's heap. */
import { execFileSync } from "node:child_process";
import { getHeapSpaceStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import t from "tap";
import { V8Heap } from "../../src/dataplane/v8-heap.js";

t.test("the nursery grows to 4 MiB and no further", async t => {
  const child = new URL("nursery-child.js", import.meta.url).pathname;
  const run = (...args: string[]): { before: number; after: number } =>
    // What the test runner has each Node process load would have filled a nursery before.
    JSON.parse(
      execFileSync("env", ["-u", "NODE_OPTIONS", process.execPath, child, ...args], { encoding: "utf8" }),
    );
  const { before, after } = run();
  t.ok(before < 4 << 20, `${before} bytes to begin with`);
  t.equal(after, 4 << 20);
  t.ok(run("unlimited").after > 4 << 20);
});

t.test("gaps between what is kept are closed", async t => {
  setFlagsFromString("--expose-gc");
  globalThis.gc = runInNewContext("gc") as NonNullable<typeof globalThis.gc>;
  const gapMB = (): number => {
    const old = getHeapSpaceStatistics().find(space => space.space_name === "old_space");
    return old === undefined ? Number.NaN : (old.space_size - old.space_used_size) / 1e6;
  };
  const connections = Array.from({ length: 100_000 }, (_, id) => ({ id, flight: new Array(20).fill(id) }));
  globalThis.gc();
  for (const connection of connections) if (connection.id % 4 !== 0) connection.flight = [];
  globalThis.gc();
  const before = gapMB();
  new V8Heap().compact();
  t.ok(before > 4, `${before.toFixed(1)} MB are left by a plain collection`);
  t.ok(gapMB() < 3, `${gapMB().toFixed(1)} MB by this one`);
  t.equal(connections.length, 100_000);
});
