/** What the kernel says of a thread that stays on its processor (sched_setaffinity(2)). */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import t from "tap";
import { ThreadPlacement, threadCpuMs } from "../../src/linux/index.js";

const ALLOWED = /^Cpus_allowed_list:\s*(.+)$/m;
const allowed = (thread: string): string =>
  ALLOWED.exec(readFileSync(`/proc/${thread}/status`, "utf8"))?.[1] ?? "";
const everywhere = readFileSync("/sys/devices/system/cpu/online", "utf8").trim();
const placement = new ThreadPlacement();
const skip =
  everywhere === "0" || allowed("thread-self") !== everywhere ? "not every processor is ours here" : false;

t.test("it is held on one processor of all, alone, and given back exactly", { skip }, async t => {
  const others = readdirSync("/proc/self/task").filter(id => id !== String(process.pid));
  t.equal(placement.hold(), true);
  t.match(allowed("thread-self"), /^\d+$/);
  for (const id of others) t.equal(allowed(`self/task/${id}`), everywhere, "V8's threads are free");
  placement.letGo();
  t.equal(allowed("thread-self"), everywhere);
});

t.test("what somebody else chose stays, before and while it is held", { skip }, async t => {
  const pin = (list: string) => execFileSync("taskset", ["--cpu-list", "--pid", list, String(process.pid)]);
  const first = everywhere.split(/[-,]/)[0] as string;
  pin(first);
  t.equal(placement.hold(), false);
  t.equal(allowed("thread-self"), first);
  pin(everywhere);
  t.equal(placement.hold(), true);
  const held = allowed("thread-self");
  const last = everywhere.split(/[-,]/).at(-1) as string;
  const other = held === first ? last : first;
  pin(other);
  placement.letGo();
  t.equal(allowed("thread-self"), other);
  pin(everywhere);
});

t.test("a thread's time on a processor grows while it computes, and never faster than time", async t => {
  const [before, began] = [threadCpuMs(), performance.now()];
  while (threadCpuMs() - before < 5);
  t.ok(threadCpuMs() - before <= performance.now() - began);
});
