/**
 * The managed section of a hosts file as bytes: which lines of a file are ours, and what the section looks
 * like. Works on latin1 text, one character a byte, so what is foreign keeps its bytes whatever its encoding.
 *
 * What is ours:
 *  - the marker lines, and a `###` directly outside of one (only there: foreign files have `###` as well);
 *  - between the two markers every line `ADDRESS NAME`, and the line that says not to edit;
 *  - where somebody has damaged a marker, the run of lines next to the other one (or, with both damaged, below
 *    the line that says not to edit) that has the shape no person writes: one address, names that are each
 *    other's beginnings, one of them with `.svc`.
 * Anything else is foreign and is kept, even if it was written into the middle of the section.
 */
import { Address } from "../base/index.js";
import { type HostEntry, isDnsName } from "../catalog/index.js";

const RULE = "###";
const START = "# CODEZERO";
const NOTICE = "# This section is managed by Codezero. Do not edit manually.";
const END = "# /CODEZERO";

/** The section's lines, markers included, one name a line. Throws RangeError for what is no host name. */
export function renderSection(entries: readonly HostEntry[]): string[] {
  const lines = [RULE, START, NOTICE];
  for (const { address, names } of entries) {
    for (const name of names) {
      if (Address.parse(address) === null || !isDnsName(name))
        throw new RangeError("entries: not a host name");
      lines.push(`${address} ${name}`);
    }
  }
  return [...lines, END, RULE];
}

export interface SplitHosts {
  /** Foreign bytes before the section, or before where one belongs. */
  readonly before: Buffer;
  /** All bytes that are ours; empty when there are none. */
  readonly section: Buffer;
  readonly after: Buffer;
}

/**
 * Parts a file. `before` and `after` together are the foreign bytes. Without a section the place for one is
 * after the last whole line: `after` is then a last line that lacks its newline, if there is one, so taking
 * the section out again gives the file back exactly.
 */
export function splitHosts(bytes: Uint8Array): SplitHosts {
  const lines = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    .toString("latin1")
    .split(/(?<=\n)/);
  const ours = ownLines(lines.map(line => line.replace(/\r?\n$/, "")));
  const parts = { before: "", section: "", after: "" };
  let first = ours.indexOf(true);
  if (first === -1) first = lines.findLastIndex(line => line.endsWith("\n")) + 1;
  lines.forEach((line, i) => {
    parts[ours[i] ? "section" : i < first ? "before" : "after"] += line;
  });
  return {
    before: Buffer.from(parts.before, "latin1"),
    section: Buffer.from(parts.section, "latin1"),
    after: Buffer.from(parts.after, "latin1"),
  };
}

/** The file with `lines` as its section, or without one. */
export function replaceSection(bytes: Uint8Array, lines: readonly string[] | null): Buffer {
  const { before, after } = splitHosts(bytes);
  if (lines === null) return Buffer.concat([before, after]);
  return Buffer.concat([before, Buffer.from(lines.map(line => `${line}\n`).join(""), "latin1"), after]);
}

/** @param lines without their line ends */
function ownLines(lines: readonly string[]): boolean[] {
  const ours = lines.map(() => false);
  const mark = (i: number, step: -1 | 1) => {
    ours[i] = true;
    if (lines[i + step] === RULE) ours[i + step] = true;
  };
  let start = -1;
  lines.forEach((line, i) => {
    if (line === START) {
      if (start !== -1) markRun(lines, ours, start, 1);
      mark(i, -1);
      start = i;
    } else if (line === END) {
      mark(i, 1);
      if (start === -1) markRun(lines, ours, i, -1);
      else
        for (let at = start + 1; at < i; at++)
          ours[at] = lines[at] === NOTICE || parseLine(lines[at]) !== null;
      start = -1;
    }
  });
  if (start !== -1) markRun(lines, ours, start, 1);
  // Both markers gone, and still nobody else writes this line.
  lines.forEach((line, i) => {
    if (line !== NOTICE || ours[i]) return;
    ours[i] = true;
    markRun(lines, ours, i, 1);
  });
  return ours;
}

/** From a marker whose other one is missing: claims what is ours beyond doubt, up to the first line that is not. */
function markRun(lines: readonly string[], ours: boolean[], marker: number, step: -1 | 1): void {
  let at = marker + step;
  for (;;) {
    if (lines[at] === NOTICE) {
      ours[at] = true;
      at += step;
      continue;
    }
    const first = at;
    const address = parseLine(lines[at])?.address;
    const names: string[] = [];
    for (; address !== undefined && parseLine(lines[at])?.address === address; at += step) {
      names.push((parseLine(lines[at]) as OwnLine).name);
    }
    const full = names.filter(name => /\.svc(\.|$)/.test(name));
    if (full.length === 0) return;
    if (!names.every(name => full.some(longer => longer === name || longer.startsWith(`${name}.`)))) return;
    for (let i = first; i !== at; i += step) ours[i] = true;
  }
}

interface OwnLine {
  address: string;
  name: string;
}

function parseLine(line: string | undefined): OwnLine | null {
  const match = /^([0-9a-f.:]+) ([a-z0-9.-]+)$/.exec(line ?? "");
  if (match === null || Address.parse(match[1] as string) === null) return null;
  return { address: match[1] as string, name: match[2] as string };
}
