/** `npm run lab -- NAME… [--OPTION…]`: runs labs one after the other. Without a name: lists them. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { makeReady, ROOT, runScript } from "./ready.mjs";
import { unpackResolved } from "./system-packages.mjs";

const SUFFIX = ".lab.ts";
const known = readdirSync(join(ROOT, "test/lab"))
  .filter(file => file.endsWith(SUFFIX))
  .map(file => file.slice(0, -SUFFIX.length));
const names = process.argv.slice(2).filter(argument => !argument.startsWith("--"));
const options = process.argv.slice(2).filter(argument => argument.startsWith("--"));
const unknown = names.filter(name => !known.includes(name));
if (names.length === 0 || unknown.length > 0) {
  if (unknown.length > 0) console.error(`no such lab: ${unknown.join(", ")}`);
  console.log(`labs: ${known.join(" ")}`);
  process.exit(unknown.length > 0 ? 2 : 0);
}
if (names.includes("resolved")) unpackResolved();
makeReady();
for (const name of names) {
  if ((await runScript(`dist/test/lab/${name}.lab.js`, options)) !== 0) process.exitCode = 1;
}
