/** What the kernel says of a thread that asked for a short slice (sched_setattr(2)); and quotas of cgroups. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { getPriority } from "node:os";
import { join } from "node:path";
import t from "tap";
import { askForShortSlice, hasCpuQuota } from "../../src/linux/index.js";

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

t.test("a quota of the own cgroup or of one above it is found", async t => {
  const root = t.testdir({ proc: { self: { cgroup: "1:name=systemd:/elsewhere\n0::/pods/agent/main\n" } } });
  const group = join(root, "sys/fs/cgroup/pods/agent/main");
  mkdirSync(group, { recursive: true });
  t.equal(hasCpuQuota(root), false, "no such files: the controller is off");
  writeFileSync(join(group, "cpu.max"), "max 100000\n");
  t.equal(hasCpuQuota(root), false);
  writeFileSync(join(group, "../../cpu.max"), "150000 100000\n");
  t.equal(hasCpuQuota(root), true);
});

t.test("in a container the own cgroup is the root that it sees", async t => {
  const root = t.testdir({
    proc: { self: { cgroup: "0::/\n" } },
    sys: { fs: { cgroup: { "cpu.max": "50000 100000\n" } } },
  });
  t.equal(hasCpuQuota(root), true);
});

t.test("without cgroups of the second version there is none", async t => {
  t.equal(hasCpuQuota(t.testdir({ proc: { self: { cgroup: "3:cpu:/x\n" } } })), false);
  t.equal(hasCpuQuota(t.testdir({})), false);
});
