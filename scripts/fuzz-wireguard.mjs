/** `npm run fuzz:wireguard [-- SECONDS]`: hostile datagrams into a live session, for a day unless told otherwise. */
import { makeReady, runScript } from "./ready.mjs";

const [seconds = "86400"] = process.argv.slice(2);
if (!/^\d+$/.test(seconds)) {
  console.error("usage: npm run fuzz:wireguard [-- SECONDS]");
  process.exit(2);
}
makeReady();
process.env.CZCTL_FUZZ_SECONDS = seconds;
process.exitCode = await runScript("dist/test/wireguard/hostile.test.js", []);
