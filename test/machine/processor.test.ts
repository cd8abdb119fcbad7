/** What is found out about the processor, beside what Linux says of it. */
import { readFileSync } from "node:fs";
import t from "tap";
import { Arena } from "../../src/base/index.js";
import { createFastCrypto } from "../../src/crypto/index.js";
import { lookAtProcessor } from "../../src/machine/processor.js";

t.test("as in /proc/cpuinfo; and the code for it is used", async t => {
  const flags = /^flags\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1]?.split(" ") ?? [];
  const has = (...wanted: string[]): boolean =>
    process.arch === "x64" && wanted.every(flag => flags.includes(flag));
  const avx2 = has("avx2", "bmi2") ? "avx2" : null;
  const expected = has("avx512f", "avx512bw", "avx2", "bmi2") ? "avx512" : avx2;
  t.equal(lookAtProcessor(), expected);
  const { name } = createFastCrypto(new Arena(1 << 20));
  if (expected !== null) t.equal(name, `fused-${expected}`);
});
