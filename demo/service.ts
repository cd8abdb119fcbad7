/**
 * The sample services, one per process: `node service.js KIND ADDRESS PORT [ID]`.
 *
 * http: `/` says who answers, `/bytes/N` sends N bytes. tcp: echo. udp: echo. Prints `ready` when it listens.
 */
import { createSocket } from "node:dgram";
import { createServer as createHttpServer } from "node:http";
import { createServer } from "node:net";

const [kind, address = "", portText = "0", id = "service"] = process.argv.slice(2);
const port = Number(portText);
const ready = (): void => console.log("ready");

const CHUNK = Buffer.alloc(65_536, "czctl ");

function serveHttp(): void {
  createHttpServer((request, response) => {
    const bytes = request.url?.match(/^\/bytes\/(\d+)$/)?.[1];
    if (bytes === undefined) {
      response.end(`${id}\n`);
      return;
    }
    let left = Number(bytes);
    response.writeHead(200, { "content-length": left });
    const more = (): void => {
      while (left > 0) {
        const chunk = left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK;
        left -= chunk.length;
        if (!response.write(chunk)) {
          response.once("drain", more);
          return;
        }
      }
      response.end();
    };
    more();
  }).listen(port, address, ready);
}

function serveTcp(): void {
  createServer({ allowHalfOpen: true }, socket => {
    socket.on("error", () => socket.destroy());
    socket.pipe(socket);
  }).listen(port, address, ready);
}

function serveUdp(): void {
  const socket = createSocket(address.includes(":") ? "udp6" : "udp4");
  socket.on("message", (message, from) => socket.send(message, from.port, from.address));
  socket.bind(port, address, ready);
}

const kinds: Record<string, () => void> = { http: serveHttp, tcp: serveTcp, udp: serveUdp };
const serve = kinds[kind ?? ""];
if (serve === undefined) throw new Error(`usage: service ${Object.keys(kinds).join("|")} ADDRESS PORT [ID]`);
serve();
