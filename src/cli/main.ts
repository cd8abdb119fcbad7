#!/usr/bin/env node
/** Entry point of `czctl`. */
import { reportError, standardOutput } from "./output.js";

const words = process.argv.slice(2);

try {
  await run();
} catch (error) {
  process.exitCode = reportError(error, words.includes("--json"));
}

/** The word that is typed most needs no parser, which takes longer to load than all else that it needs. */
async function run(): Promise<void> {
  if (words.length === 1 && words[0] === "up") {
    const { PLAIN_UP, up } = await import("./commands/up.js");
    return up(PLAIN_UP);
  }
  standardOutput();
  const { runProgram } = await import("./program.js");
  await runProgram(words);
}
