/** `czctl doctor`: what is right, what is wrong, and what to do about it. */
import { EXIT_CODES, plainText } from "../../base/index.js";
import { askDaemon } from "../ask-daemon.js";
import { type Flags, type Program, settingsOf } from "../context.js";
import { paint, print, printJson } from "../output.js";

const MARKS = { ok: ["green", "✓"], warning: ["yellow", "!"], problem: ["red", "✗"] } as const;

export function addDoctorCommand(program: Program): void {
  program.command(
    "doctor",
    "Look for what is wrong with this machine's set-up, and say what to do",
    y =>
      y.option("throughput", {
        type: "boolean",
        default: false,
        description: "Measure the tunnel's speed too, with a download of three seconds",
      }),
    flags => doctor(flags),
  );
}

async function doctor(flags: Flags<{ throughput: boolean }>): Promise<void> {
  const settings = settingsOf(flags);
  const daemon = await askDaemon(settings);
  const { loadTools } = await import("../../daemon/index.js");
  const { diagnose, gatherFacts } = await loadTools();
  const findings = diagnose(await gatherFacts(settings, daemon, flags.throughput));
  const problems = findings.filter(({ level }) => level === "problem").length;
  if (problems > 0) process.exitCode = EXIT_CODES.environment;
  if (flags.json) return printJson({ ok: problems === 0, findings });
  for (const { check, level, text, hint } of findings) {
    const [style, mark] = MARKS[level];
    print(`${paint(style, mark)} ${paint("bold", check)}: ${plainText(text)}`);
    if (hint !== undefined) print(`    ${plainText(hint)}`);
  }
}
