/** What is found out about the processor, beside what Linux says of it. */
import { readFileSync } from "node:fs";
import t from "tap";
import { Arena } from "../../../src/base/index.js";
import { lookAtProcessor } from "../../../src/crypto/fused/processor.js";
import { createFastCrypto } from "../../../src/crypto/index.js";

t.test("as in /proc/cpuinfo; and the fused kernel is used where nothing else may be faster", async t => {
  const flags = /^flags\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1]?.split(" ") ?? [];
  const has = (flag: string): boolean => process.arch === "x64" && flags.includes(flag);
  const fused = has("avx2") && has("bmi2");
  t.same(lookAtProcessor(), { fused, avx512: has("avx512f") });
  if (fused && !has("avx512f")) t.equal(createFastCrypto(new Arena(1 << 20)).name, "fused");
});
