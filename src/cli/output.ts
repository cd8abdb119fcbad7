/** How the CLI speaks: aligned tables, colours on a terminal only (NO_COLOR), JSON for programs, one-line errors. */
import { styleText } from "node:util";
import { CzctlError, EXIT_CODES, plainText } from "../base/index.js";

export type Style = "bold" | "dim" | "green" | "yellow" | "red" | "cyan";

export function paint(style: Style, text: string, stream: NodeJS.WriteStream = process.stdout): string {
  const coloured = stream.isTTY === true && !process.env.NO_COLOR;
  return coloured ? styleText(style, text) : text;
}

let endsQuietly = false;

/** Standard output, whose reader may have had enough: `czctl services list | head` is no error. Node takes 5 ms to make it. */
export function standardOutput(): NodeJS.WriteStream {
  if (!endsQuietly) {
    endsQuietly = true;
    process.stdout.on("error", (error: NodeJS.ErrnoException) => {
      if (error.code !== "EPIPE") throw error;
      process.exit();
    });
  }
  return process.stdout;
}

export function print(line: string): void {
  standardOutput().write(`${line}\n`);
}

export function printJson(value: unknown): void {
  standardOutput().write(`${JSON.stringify(value, null, 2)}\n`);
}

/** Rows below a header, columns two spaces apart. Cells are made harmless for the terminal. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [header, ...rows.map(row => row.map(plainText))];
  const widths = header.map((_, column) => Math.max(...cells.map(row => (row[column] ?? "").length)));
  const lines = cells.map(row =>
    row
      .map((cell, i) => cell.padEnd(widths[i] as number))
      .join("  ")
      .trimEnd(),
  );
  lines[0] = paint("bold", lines[0] as string);
  return lines.join("\n");
}

/** `Name:  value` lines with the values aligned. */
export function formatFields(fields: readonly (readonly [string, string])[]): string {
  const width = Math.max(...fields.map(([name]) => name.length)) + 1;
  return fields.map(([name, value]) => `${paint("dim", `${name}:`.padEnd(width))}  ${value}`).join("\n");
}

export function formatBytes(bytes: number): string {
  let value = bytes;
  for (const unit of ["B", "KiB", "MiB", "GiB"]) {
    if (value < 1000 || unit === "GiB") return `${unit === "B" ? value : value.toFixed(1)} ${unit}`;
    value /= 1024;
  }
  return `${bytes} B`;
}

/** `4 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const units = [
    ["d", 86_400],
    ["h", 3_600],
    ["min", 60],
    ["s", 1],
  ] as const;
  let rest = Math.floor(ms / 1000);
  const parts: string[] = [];
  for (const [unit, seconds] of units) {
    const count = Math.floor(rest / seconds);
    rest %= seconds;
    if (count > 0) parts.push(`${count} ${unit}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.join(" ");
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Prints the error, two lines at most (and as JSON on standard output if asked); returns the exit code. */
export function reportError(error: unknown, json: boolean): number {
  const known =
    error instanceof CzctlError
      ? error
      : new CzctlError(error instanceof Error ? error.message : String(error), {
          code: "INTERNAL",
          category: "internal",
          hint: "This is a bug in czctl. Run it again with CZCTL_DEBUG=1 and report what it prints.",
          cause: error,
        });
  if (json) printJson({ error: known.toJSON() });
  const line = plainText(known.message.replaceAll("\n", " "));
  process.stderr.write(`${paint("red", "czctl:", process.stderr)} ${line}\n`);
  if (known.hint !== undefined) process.stderr.write(`  ${capitalized(plainText(known.hint))}\n`);
  if (process.env.CZCTL_DEBUG === "1")
    process.stderr.write(`${(known.cause as Error)?.stack ?? known.stack}\n`);
  return EXIT_CODES[known.category];
}
