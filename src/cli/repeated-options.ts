/**
 * Options with several values may be given several times: `--allow A --allow B` is `--allow A B`. yargs can have
 * that for all options or for none, and of other options the last one is to win.
 */

const SEVERAL = /^--(allow|group|namespaces)(?:=(.*))?$/;

export function joinRepeatedOptions(words: readonly string[]): string[] {
  const others: string[] = [];
  const values = new Map<string, string[]>();
  let open: string[] | null = null;
  for (const word of words) {
    const [, name, value] = SEVERAL.exec(word) ?? [];
    if (name !== undefined) {
      const known = values.get(name) ?? [];
      values.set(name, known);
      if (value !== undefined) known.push(value);
      open = value === undefined ? known : null;
    } else if (open !== null && !word.startsWith("-")) {
      open.push(word);
    } else {
      open = null;
      others.push(word);
    }
  }
  // At the end: they take every word that follows.
  return [...others, ...[...values].flatMap(([name, list]) => [`--${name}`, ...list])];
}
