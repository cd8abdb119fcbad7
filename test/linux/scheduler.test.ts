/** What the kernel says of a thread that asked for a short slice (sched_setattr(2)). */
import { readFileSync } from "node:fs";
import { getPriority } from "node:os";
import t from "tap";
import { askForShortSlice } from "../../src/linux/index.js";

const SLICE_NS = /^se\.slice\s*:\s*(\d+)/m;

/** Of the thread that asks; undefined before Linux 6.12, or where the kernel does not tell. */
function sliceNs(): number | undefined {
  try {
    const text = SLICE_NS.exec(readFileSync("/proc/thread-self/sched", "utf8"))?.[1];
    return text === undefined ? undefined : Number(text);
  } catch {
    return undefined;
  }
}

t.test("a thread gets a slice of a tenth of a millisecond, without privilege", async t => {
  const before = sliceNs();
  const priority = getPriority();
  t.equal(askForShortSlice(), true);
  t.equal(getPriority(), priority, "its share of the processor is what it was");
  if (before === undefined) return t.comment("this kernel does not tell a thread's slice");
  t.equal(sliceNs(), 100_000);
});
