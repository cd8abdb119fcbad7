/** `czctl diagnostics`: what a bug report needs in one archive, without what is nobody's business. */
import { chownSync } from "node:fs";
import { resolve } from "node:path";
import { gzipSync } from "node:zlib";
import { askDaemon } from "../ask-daemon.js";
import { type Flags, type Program, settingsOf } from "../context.js";
import { formatBytes, formatTable, paint, print, printJson } from "../output.js";
import { intoFile } from "../secret-file.js";

const CONTENTS: Readonly<Record<string, string>> = {
  "about.json": "versions of czctl, Node, kernel and system",
  "doctor.json": "what `czctl doctor` finds",
  "status.json": "what `czctl status --json` says, with all counters",
  "settings.json": "where czctl keeps its things",
  "network.json": "devices, addresses, routes and routing rules",
  "resolver.json": "resolv.conf and nsswitch.conf",
  "hosts-section.txt": "our section of the hosts file, nothing else of it",
  "daemon.log": "the end of the log",
};

export function addDiagnosticsCommand(program: Program): void {
  program.command(
    "diagnostics",
    "Pack what a bug report needs into one file, without secrets",
    y =>
      y.option("output", {
        type: "string",
        requiresArg: true,
        description: "Where to [czctl-diagnostics-TIME.tar.gz]",
      }),
    flags => diagnostics(flags),
  );
}

async function diagnostics(flags: Flags<{ output: string | undefined }>): Promise<void> {
  const settings = settingsOf(flags);
  const now = new Date();
  const stamp = now.toISOString().slice(0, 19).replace(/[-:]/g, "").replace("T", "-");
  const path = resolve(flags.output ?? `czctl-diagnostics-${stamp}.tar.gz`);
  const { loadTools } = await import("../../daemon/index.js");
  const { gatherDiagnostics, makeTar } = await loadTools();
  const { files, redacted } = await intoFile(
    path,
    async () => gatherDiagnostics(settings, await askDaemon(settings)),
    made => gzipSync(makeTar(made.files, Math.floor(now.getTime() / 1000))),
  );
  giveToCaller(path);
  const sizes = files.map(({ name, content }) => ({ name, bytes: Buffer.byteLength(content) }));
  if (flags.json) return printJson({ path, files: sizes, redacted });
  print(
    formatTable(
      ["FILE", "SIZE", "WHAT"],
      sizes.map(({ name, bytes }) => [name, formatBytes(bytes), CONTENTS[name] ?? ""]),
    ),
  );
  const kinds = Object.entries(redacted).map(([kind, count]) => `${count} of kind ${kind}`);
  print(`\nReplaced by stand-ins: ${kinds.length === 0 ? "nothing" : kinds.join(", ")}.`);
  print("It names your services, spaces and private networks. Look through it before you send it.");
  print(`${paint("green", "Written:")} ${path}`);
}

/** Made with sudo, it is still for whoever called. */
function giveToCaller(path: string): void {
  const [uid, gid] = [Number(process.env.SUDO_UID), Number(process.env.SUDO_GID)];
  if (process.geteuid?.() === 0 && uid > 0 && gid > 0) chownSync(path, uid, gid);
}
