/** `czctl logs`: the log of supervisor, daemon and data plane. */
import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { LOG_FILE } from "../../api/index.js";
import { CzctlError } from "../../base/index.js";
import { type Flags, type Program, settingsOf } from "../context.js";

const POLL_MS = 200;
const CHUNK_BYTES = 65_536;
/** What is looked through for the last lines. */
const TAIL_BYTES = 1024 * 1024;

export function addLogsCommand(program: Program): void {
  program.command(
    "logs",
    "Print the daemon's log",
    y =>
      y
        .option("follow", { alias: "f", type: "boolean", default: false, description: "Go on as it grows" })
        .option("lines", {
          alias: "n",
          type: "number",
          default: 200,
          requiresArg: true,
          description: "The last so many",
        }),
    flags => logs(flags),
  );
}

async function logs(flags: Flags<{ follow: boolean; lines: number }>): Promise<void> {
  const path = join(settingsOf(flags).stateDir, LOG_FILE);
  let fd = open(path);
  let position = Math.max(0, fstatSync(fd).size - TAIL_BYTES);
  const tail = readFrom(fd, position);
  position += tail.length;
  const lines = tail.toString("utf8").split("\n");
  // The last piece is what follows the last newline.
  process.stdout.write(lines.slice(-(Math.max(0, flags.lines) + 1)).join("\n"));
  while (flags.follow) {
    await sleep(POLL_MS);
    const more = readFrom(fd, position);
    position += more.length;
    process.stdout.write(more);
    // A new run of czctl may have put aside what the file held.
    if (fstatSync(fd).size < position) position = 0;
    // Or somebody has made a new file.
    if (more.length === 0 && statSync(path, { throwIfNoEntry: false })?.ino !== fstatSync(fd).ino) {
      closeSync(fd);
      fd = open(path);
      position = 0;
    }
  }
  closeSync(fd);
}

function open(path: string): number {
  try {
    return openSync(path, "r");
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const denied = code === "EACCES" || code === "EPERM";
    const why = code === "ENOENT" ? "there is no log yet" : denied ? `no permission for ${path}` : message;
    throw new CzctlError(why, {
      code: denied ? "PERMISSION_DENIED" : "LOG_UNREADABLE",
      category: "environment",
      hint: denied ? "Run it with sudo." : "Start czctl with `sudo czctl up`.",
      cause: error,
    });
  }
}

function readFrom(fd: number, position: number): Buffer {
  const chunks: Buffer[] = [];
  for (let at = position; ; ) {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    const count = readSync(fd, chunk, 0, CHUNK_BYTES, at);
    if (count === 0) return Buffer.concat(chunks);
    chunks.push(chunk.subarray(0, count));
    at += count;
  }
}
