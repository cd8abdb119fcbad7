/** Invites DIR PREFIX COUNT: a process of its own, so that invites really compete. */
import { agentInvite } from "../../src/agent/index.js";

const [dir, prefix, count] = process.argv.slice(2) as [string, string, string];
await Promise.all(
  Array.from({ length: Number(count) }, (_, number) => agentInvite({ dir, name: `${prefix}${number}` })),
);
