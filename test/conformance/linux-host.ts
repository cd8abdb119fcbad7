/** The services on kernel sockets: the oracle's process. Prints "ready". */
import { createSocket } from "node:dgram";
import { connect, createServer, type Socket } from "node:net";
import {
  CLOSE,
  DIAL,
  DIAL_PORT,
  ECHO,
  FILE,
  HALF,
  HOLD,
  LATE,
  LATE_MS,
  RESET,
  SERVICE_PORTS,
  SINK,
  SOURCE,
  SOURCE_BYTES,
} from "./services.js";

const BEHAVIOURS: Readonly<Record<number, (socket: Socket) => void>> = {
  [ECHO]: socket => socket.pipe(socket),
  [SINK]: socket => socket.resume().on("end", () => socket.end()),
  [SOURCE]: socket => {
    socket.write(Buffer.alloc(SOURCE_BYTES, "s"));
    socket.resume().on("end", () => socket.end());
  },
  [CLOSE]: socket => socket.resume().end(),
  [HOLD]: () => {},
  [HALF]: socket => socket.resume().on("end", () => socket.end("bye")),
  [LATE]: socket => void setTimeout(() => socket.resume().on("end", () => socket.end()), LATE_MS),
  [DIAL]: socket => {
    const { remoteAddress } = socket;
    socket.resume().on("end", () => socket.end());
    const out = connect({ host: remoteAddress ?? "", port: DIAL_PORT, allowHalfOpen: true });
    out.on("error", () => {}).on("connect", () => out.resume().on("end", () => out.end()));
  },
  [RESET]: socket => void socket.once("data", () => socket.resetAndDestroy()).resume(),
  [FILE]: socket => socket.resume().end(Buffer.alloc(SOURCE_BYTES, "f")),
};

for (const port of SERVICE_PORTS) {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, socket => {
    socket.on("error", () => {});
    BEHAVIOURS[port]?.(socket);
  });
  await new Promise<void>(resolve => server.listen(port, "::", resolve));
}
const udp = createSocket({ type: "udp6" });
udp.on("message", (message, from) => udp.send(message, from.port, from.address));
await new Promise<void>(resolve => udp.bind(ECHO, "::", resolve));
console.log("ready");
