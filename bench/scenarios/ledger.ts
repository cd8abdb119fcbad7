/** The ledger's rows: nanoseconds per inner packet of 1420 bytes, each step by itself (`programs/ledger.ts`). */
import { fileURLToPath } from "node:url";
import type { Scenario } from "../scenario.js";

const LEDGER = fileURLToPath(new URL("../programs/ledger.js", import.meta.url));

export const ledger: Scenario = {
  name: "ledger",
  rounds: ["all"],
  needs: [],
  maxRuns: 3,
  contenders: [{ name: "czctl", needs: [], start: async () => ({ target: "", pids: async () => [] }) }],
  async prepare() {},
  async measure(_round, { laptop }) {
    const steps = JSON.parse(await laptop.run(process.execPath, [LEDGER])) as Record<string, number>;
    return Object.entries(steps).map(([variant, value]) => ({ variant, unit: "ns/packet", value }));
  },
};
