/** Run with --jitless by call-runner.test.ts: prints how packets are encrypted where the system lets no code be added. */
import koffi from "koffi";
import { Arena } from "../../src/base/index.js";
import { createCrypto } from "../../src/crypto/index.js";

/** Linux ≥ 6.3: what is not executable never becomes it. */
const PR_SET_MDWE = 65;
const PR_MDWE_REFUSE_EXEC_GAIN = 1;

const parameters = ["int", "ulong", "ulong", "ulong", "ulong"];
const refused = koffi.load(null).func("prctl", "int", parameters)(
  PR_SET_MDWE,
  PR_MDWE_REFUSE_EXEC_GAIN,
  0,
  0,
  0,
);
const { suite, fallbackReason } = createCrypto(new Arena(1 << 20));
console.log(JSON.stringify({ unsupported: refused !== 0, name: suite.name, fallbackReason }));
