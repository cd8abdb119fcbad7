/** How instructions that do not wait for each other are put in one order. */
import type { Instruction } from "../../machine/index.js";

/** Lists of one length, in turns; each is `lag` instructions behind the one before. */
export function mix(lists: readonly (readonly Instruction[])[], lag: number): Instruction[] {
  const mixed: Instruction[] = [];
  const steps = (lists[0]?.length ?? 0) + lag * (lists.length - 1);
  for (let step = 0; step < steps; step++) {
    for (const [i, list] of lists.entries()) {
      const instruction = list[step - lag * i];
      if (instruction !== undefined) mixed.push(instruction);
    }
  }
  return mixed;
}

/** The instructions of both, each in its order, evenly. */
export function weave(one: readonly Instruction[], other: readonly Instruction[]): Instruction[] {
  const out: Instruction[] = [];
  let [i, j] = [0, 0];
  while (i < one.length || j < other.length) {
    const first = j === other.length || (i < one.length && i * other.length <= j * one.length);
    out.push((first ? one[i++] : other[j++]) as Instruction);
  }
  return out;
}
