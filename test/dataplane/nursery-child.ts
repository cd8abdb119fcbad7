/** Run by v8-heap.test.ts, with a heap that nobody has used yet: prints the nursery's size before and after much garbage. */
import { getHeapSpaceStatistics } from "node:v8";
import { V8Heap } from "../../src/dataplane/v8-heap.js";

const heap = new V8Heap();
const nurseryBytes = (): number | undefined =>
  getHeapSpaceStatistics().find(space => space.space_name === "new_space")?.space_size;

const before = nurseryBytes();
// Each object lives through a collection or two.
const kept: object[] = [];
for (let turn = 0; turn < 5_000; turn++) {
  for (let i = 0; i < 200; i++) kept[(200 * turn + i) % 50_000] = { turn, list: [i] };
  if (!process.argv.includes("unlimited")) heap.limitNursery(2 * turn);
}
console.log(JSON.stringify({ before, after: nurseryBytes() }));
