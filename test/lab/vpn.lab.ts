/** One row of the coexistence matrix; the whole of it is `npm run lab:vpn`. */
import { assertEqual, lab } from "./lab.js";
import { CHECKS, ORDERS, type Row, runRow } from "./vpn/cells.js";
import { addOffice } from "./vpn/office.js";
import { VPNS } from "./vpn/vpns.js";

const NAME = "WireGuard 198.18.0.0/15";
const ORDER = "czctl first";

await lab(import.meta.url, async l => {
  const vpn = VPNS.find(({ name }) => name === NAME);
  const order = ORDERS.get(ORDER);
  if (vpn === undefined || order === undefined) throw new RangeError("no such row");
  const world = await addOffice(l.sandbox, l);
  let row: Row = new Map();
  const needs = ["/dev/net/tun", "wireguard-go", "wg-quick", "nft", "curl", "dnsmasq"];
  const ran = await l.check(
    `${NAME}, ${ORDER}: a VPN that claims the service range comes up during a download`,
    async () => {
      row = await runRow(world, vpn, order);
      return undefined;
    },
    { needs, needsRoot: true },
  );
  if (!ran) return;
  for (const check of CHECKS) {
    await l.check(check, async () => {
      assertEqual(row.get(check), null, check);
      return undefined;
    });
  }
});
