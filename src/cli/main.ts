#!/usr/bin/env node
/** Entry point of `czctl`. */
import { reportError } from "./output.js";
import { runProgram } from "./program.js";

const words = process.argv.slice(2);

// `czctl services list | head` is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit();
});

try {
  await runProgram(words);
} catch (error) {
  process.exitCode = reportError(error, words.includes("--json"));
}
