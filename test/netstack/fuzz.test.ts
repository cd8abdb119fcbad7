/** `npm run fuzz` in small, and everything that it has found. */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import t from "tap";
import { runSessions } from "./fuzz/run.js";
import { Fuzzer, type Reproducer } from "./fuzz/session.js";

const BUDGET_MS = 2000;
const REPRODUCERS = fileURLToPath(new URL("../../../test/netstack/fuzz/reproducers/", import.meta.url));
/** Paths that forged packets must reach, or the forge has gone blunt. */
const REACHED = [
  ...["ipTooShort", "ipBadVersion", "ipBadHeader", "ipBadChecksum", "ipBadAddress", "ipExtensionHeader"],
  ...["ipUnknownProtocol", "fragmentBad", "fragmentOverlap", "fragmentTimeout", "fragmentNoRoom"],
  ...["icmpBad", "icmpUnhandled", "icmpStray", "udpBad", "udpBadChecksum", "udpRefused", "udpFlowLimit"],
  ...["tcpBad", "tcpBadChecksum", "tcpOutOfWindow", "tcpPaws", "tcpBadAck", "tcpChallengeAcks"],
  ...["tcpNoConnection", "tcpOutOfOrder", "tcpDuplicate", "tcpNoRoom", "tcpConnectionLimit", "tcpBlindReset"],
  "tcpPredicted",
  ...["tcpRetransmits", "tcpTimeouts", "tcpFastRecoveries", "tcpTailLossProbes", "tcpZeroWindowProbes"],
  ...["tcpResetsIn", "tcpResetsOut", "txDropped"],
];

t.test("what has been found stays mended", async t => {
  const fuzzer = new Fuzzer();
  const names = readdirSync(REPRODUCERS).filter(name => name.endsWith(".json"));
  for (const name of names) {
    const reproducer = JSON.parse(readFileSync(`${REPRODUCERS}${name}`, "utf8")) as Reproducer;
    t.equal(fuzzer.replay(reproducer).failure, null, `${name}: ${reproducer.about}`);
  }
  t.ok(names.length > 0);
});

t.test("forged packets do no harm, and reach every reason for which a packet is dropped", async t => {
  const end = Date.now() + BUDGET_MS;
  const first = Date.now() % 1_000_000_000;
  const tally = runSessions(new Fuzzer(), first, so => Date.now() >= end && so.executions > 100_000);
  for (const { seed, error } of tally.failures) t.fail(`npm run fuzz -- --seed ${seed}: ${error.stack}`);
  const never = REACHED.filter(name => tally.counters.get(name) === 0);
  t.same(never, [], `${tally.executions} packets from session ${first} on`);
});
