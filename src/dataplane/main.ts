/**
 * Entry point of a data plane process: waits for `start`, opens what needs privilege, drops it, and runs the
 * loop until the control process says `stop` or is gone.
 */
import { askForShortSlice, setParentDeathSignal } from "../linux/index.js";
import { Dataplane } from "./dataplane.js";

/** The inherited socket to the control process. */
const CONTROL_FD = 3;

setParentDeathSignal("SIGKILL");
// A packet waits for this thread alone, and must not wait for V8's own threads, or another program's, to use up theirs.
askForShortSlice();
new Dataplane(CONTROL_FD).run();
