/** Holds one idle connection: `node hold.js HOST PORT`. Says `open`, and `ended REASON` when the other side ends it. */
import { connect } from "node:net";

const [host = "", port = ""] = process.argv.slice(2);
const socket = connect(Number(port), host);
socket.once("connect", () => console.log("open"));
socket.on("error", (error: NodeJS.ErrnoException) => console.log(`ended ${error.code}`));
socket.on("end", () => console.log("ended FIN"));
socket.resume();
process.once("SIGTERM", () => socket.end(() => process.exit()));
