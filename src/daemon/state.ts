/**
 * What the laptop remembers between runs, in one JSON file (mode 0600: it holds the devices' private keys).
 * Whoever holds the state directory's lock is its only writer. It is replaced as a whole, so a crash leaves
 * the old file or the new one.
 */
import { randomBytes } from "node:crypto";
import { closeSync, constants, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";
import * as z from "zod";
import { STATE_FILE } from "../api/index.js";
import { Address, CzctlError, Prefix } from "../base/index.js";
import { ALL_RULE, type Credential, formatRule, parseCredential } from "../catalog/index.js";
import { stateUnusable } from "./lock.js";

const { O_CREAT, O_NOFOLLOW, O_TRUNC, O_WRONLY } = constants;

export interface Space {
  name: string;
  credential: Credential;
  /** Consume rules as the user wrote them. */
  rules: string;
  primaryNamespace: string | null;
  /** `VirtualAddresses`, so that services keep their addresses. */
  addresses: Record<string, number>;
  /** Ms since the epoch, 0 for never: a clock that is behind it cannot shake hands (WireGuard's TAI64N). */
  lastHandshakeAt: number;
}

export interface State {
  version: 1;
  selected: string | null;
  /** Of the last run; tried first. */
  serviceRange: string | null;
  /** This machine's /64 for virtual IPv6 addresses. */
  ula: string;
  spaces: Space[];
}

/** `consume all`, the default of a new space. */
export const DEFAULT_RULES: string = `${formatRule(ALL_RULE)}\n`;

const schema = z.object({
  version: z.literal(1),
  selected: z.string().nullable(),
  serviceRange: z
    .string()
    .refine(text => Prefix.parse(text) !== null)
    .nullable(),
  ula: z.string().refine(text => Prefix.parse(text)?.bits === 64),
  spaces: z.array(
    z.object({
      name: z.string(),
      credential: z.unknown().transform(value => parseCredential(JSON.stringify(value))),
      rules: z.string(),
      primaryNamespace: z.string().nullable(),
      addresses: z.record(z.string(), z.number()),
      lastHandshakeAt: z.number(),
    }),
  ),
});

/** The state in `stateDir`; a fresh one if there is none yet. */
export function loadState(stateDir: string): State {
  const path = join(stateDir, STATE_FILE);
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw stateUnusable(path, error);
    return { version: 1, selected: null, serviceRange: null, ula: randomUla(), spaces: [] };
  }
  try {
    // Read once in a process: to make code for it, as zod does for what it reads often, would take 10 ms.
    return schema.parse(JSON.parse(text), { jitless: true });
  } catch {
    // No cause: what JSON and zod say may quote a key.
    throw new CzctlError(`${path} is damaged`, {
      code: "STATE_DAMAGED",
      category: "config",
      hint: "Move it away and add your spaces again with `czctl space add`.",
    });
  }
}

export function saveState(stateDir: string, state: State): void {
  const path = join(stateDir, STATE_FILE);
  try {
    const temporary = `${path}.new`;
    const fd = openSync(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
    try {
      writeSync(fd, `${JSON.stringify(state, null, 2)}\n`);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (error) {
    throw stateUnusable(path, error);
  }
}

/** The state in memory, and the file that follows it. Throws as `loadState` and `saveState` do. */
export class StateFile {
  readonly state: State;
  readonly #stateDir: string;
  #saved: string;

  constructor(stateDir: string) {
    this.#stateDir = stateDir;
    this.state = loadState(stateDir);
    this.#saved = JSON.stringify(this.state);
  }

  /** Writes what has changed since the last time, if anything has. */
  save(): void {
    const text = JSON.stringify(this.state);
    if (text === this.#saved) return;
    saveState(this.#stateDir, this.state);
    this.#saved = text;
  }
}

/** RFC 4193 §3.2.2: a random global identifier; subnet 0. */
function randomUla(): string {
  const bytes = new Uint8Array(16);
  bytes[0] = 0xfd;
  bytes.set(randomBytes(5), 1);
  return new Prefix(Address.read(bytes, 0, 6), 64).toString();
}

export function selectedSpace(state: State): Space {
  const space = state.spaces.find(({ name }) => name === state.selected);
  if (space !== undefined) return space;
  const any = state.spaces.length > 0;
  throw new CzctlError(any ? "no space is selected" : "there is no space yet", {
    code: "NO_SPACE",
    category: "user",
    hint: any ? "Choose one with `czctl space select NAME`." : "Add one with `sudo czctl space add FILE`.",
  });
}
