#!/usr/bin/env node
/** Entry point of `czctl`. */
import { reportError } from "./output.js";

const words = process.argv.slice(2);

// `czctl services list | head` is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit();
});

try {
  await run();
} catch (error) {
  process.exitCode = reportError(error, words.includes("--json"));
}

/** The one word that is typed most needs no parser, which takes longer to load than all else that it needs. */
async function run(): Promise<void> {
  if (words.length === 1 && words[0] === "up") {
    const { PLAIN_UP, up } = await import("./commands/up.js");
    return up(PLAIN_UP);
  }
  const { runProgram } = await import("./program.js");
  await runProgram(words);
}
