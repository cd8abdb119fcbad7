/**
 * `npm run lab:vpn [-- --json] [--only=NAME]`: the coexistence matrix. Every cell is a check of one VPN in one
 * order; with --json the last line is `{"cells","failed","skipped"}`.
 */
import { inSandbox } from "../sandbox.js";
import { CHECKS, ORDERS, runRow } from "./cells.js";
import { makeWorld } from "./office.js";
import { unavailable, VPNS } from "./vpns.js";

const NAME_WIDTH = 26;
const ORDER_WIDTH = 23;

await inSandbox(import.meta.url, async sandbox => {
  const only = process.argv.find(word => word.startsWith("--only="))?.slice("--only=".length) ?? "";
  const world = await makeWorld(sandbox);
  const skipped = unavailable();
  const failures: string[] = [];
  let cells = 0;
  console.log(`${"VPN".padEnd(NAME_WIDTH)}${"order".padEnd(ORDER_WIDTH)}${CHECKS.join("  ")}`);
  for (const vpn of VPNS) {
    if (vpn.obstacle() !== null || !vpn.name.includes(only)) continue;
    for (const [name, order] of ORDERS) {
      if (sandbox.signal.aborted) return 130;
      const row = await runRow(world, vpn, order);
      const marks = CHECKS.map(check => (row.get(check) === null ? "✓" : "✗").padEnd(check.length));
      console.log(`${vpn.name.padEnd(NAME_WIDTH)}${name.padEnd(ORDER_WIDTH)}${marks.join("  ")}`);
      for (const check of CHECKS) {
        cells++;
        const why = row.get(check);
        if (why === null) continue;
        failures.push(`${vpn.name}, ${name}, ${check}`);
        console.log(`  ✗ ${check}: ${why}`);
      }
    }
  }
  for (const reason of skipped) console.log(`skipped: ${reason}`);
  if (failures.length > 0) console.log(world.laptop.tails());
  console.log(`${cells} cells, ${failures.length} failed`);
  await world.close();
  if (process.argv.includes("--json")) {
    console.log(JSON.stringify({ cells, failed: failures.length, skipped }));
  }
  return failures.length === 0 ? 0 : 1;
});
