/** Entry point of the daemon, started by the supervisor. What must not wait for the rest to be loaded comes first. */
import { startAhead } from "./ahead.js";

/** For tests: root's environment is root's own. */
const dataplaneEntry = process.env.CZCTL_DATAPLANE_ENTRY;
const ahead = startAhead(dataplaneEntry);
const { runDaemon } = await import("./run.js");
await runDaemon(ahead, dataplaneEntry);
