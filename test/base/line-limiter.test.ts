import t from "tap";
import { LineLimiter } from "../../src/base/index.js";

t.test("a burst, then so many per second, and what was refused is counted", async t => {
  const limiter = new LineLimiter(10, 50, 0);
  const allowed = (times: number, nowMs: number): number =>
    Array.from({ length: times }, () => limiter.allow(nowMs)).filter(Boolean).length;
  t.equal(allowed(1000, 0), 50);
  t.equal(limiter.takeRefused(), 950);
  t.equal(limiter.takeRefused(), 0);
  t.equal(allowed(1000, 1000), 10);
  t.equal(allowed(1, 1050), 0, "half a token is none");
  t.equal(allowed(1000, 3_600_000), 50, "idle time buys one burst");
});
