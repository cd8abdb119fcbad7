/** docs/tcp.md cannot rot: what it names exists, and every row's test names the row's RFC. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { ROOT } from "./sources.js";

interface Row {
  what: string;
  rfc: string;
  file: string;
  tests: { file: string; title: string }[];
}

function rows(text: string): Row[] {
  const lines = [...text.matchAll(/^\| ([^|]+) \| (\d+ §[^|]+) \| `([^`]+)` \| ([^|]+) \|$/gm)];
  return lines.map(([, what = "", rfc = "", file = "", tests = ""]) => ({
    what,
    rfc,
    file,
    tests: tests.split("; ").map(test => {
      const [, path = "", title = ""] = /^`([^`]+)` (.+)$/.exec(test) ?? [];
      return { file: `test/${path}.test.ts`, title };
    }),
  }));
}

/** Titles of the tests in a file: the string or template that follows `test(`. */
function titles(file: string): string[] {
  const path = join(ROOT, file);
  if (!existsSync(path)) return [];
  const text = readFileSync(path, "utf8");
  return [...text.matchAll(/\btest\(\s*(["`])(.+?)\1,/g)].map(match => match[2] as string);
}

const text = readFileSync(join(ROOT, "docs/tcp.md"), "utf8");

t.test("docs/tcp.md: every row's file and tests exist, and the tests name its RFC", async t => {
  const found = rows(text);
  t.ok(found.length > 60, `${found.length} rows`);
  t.equal(found.length, [...text.matchAll(/^\| .*§/gm)].length, "every row has its four columns");
  for (const { what, rfc, file, tests } of found) {
    t.ok(existsSync(join(ROOT, "src/netstack", file)), `${what}: ${file}`);
    const number = new RegExp(`\\b${rfc.split(" ")[0]}\\b`);
    for (const { file: testFile, title } of tests) {
      const matches = titles(testFile).filter(one => title !== "" && one.includes(title));
      t.ok(
        matches.some(one => number.test(one)),
        `${what}: a test "${title}" of RFC ${rfc} in ${testFile}`,
      );
    }
  }
});
