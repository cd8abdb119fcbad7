/**
 * HTTP/2, WebSocket and many connections at once, as programs of the labs.
 *
 *   serve ADDRESS                h2c on 8080 (`/N`: N bytes), WebSocket echo on 8081
 *   h2 HOST STREAMS BYTES        that many streams of one connection at once
 *   ws HOST MESSAGES             binary messages of growing size, echoed
 *   parallel URL COUNT SHA256    that many connections at once, each body checked
 */
import { createHash, randomBytes } from "node:crypto";
import { get } from "node:http";
import { connect, createServer } from "node:http2";
import { WebSocket, WebSocketServer } from "ws";

function serve(address: string): void {
  // In megabytes; the default of 10 is less than what 100 answers wait to send.
  const server = createServer({ maxSessionMemory: 1_000 });
  server.on("sessionError", error => console.error(error.message));
  server.on("stream", (stream, headers) => {
    stream.on("error", error => console.error(error.message));
    stream.respond({ ":status": 200 });
    stream.end(Buffer.alloc(Number(String(headers[":path"]).slice(1)), "h2"));
  });
  server.listen(8080, address, () => {
    const sockets = new WebSocketServer({ host: address, port: 8081, maxPayload: 2 ** 26 });
    sockets.on("connection", socket => socket.on("message", (data, binary) => socket.send(data, { binary })));
    sockets.on("listening", () => console.log("ready"));
  });
}

async function h2(host: string, streams: number, bytes: number): Promise<void> {
  const session = connect(`http://${host}:8080`);
  const one = async (): Promise<number> => {
    let received = 0;
    for await (const chunk of session.request({ ":path": `/${bytes}` })) received += (chunk as Buffer).length;
    return received;
  };
  const received = await Promise.all(Array.from({ length: streams }, one));
  session.close();
  if (received.some(count => count !== bytes)) throw new Error(`received ${received}`);
}

async function ws(host: string, messages: number): Promise<void> {
  const socket = new WebSocket(`ws://${host}:8081/`);
  await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
  for (let i = 0; i < messages; i++) {
    const sent = randomBytes(1 + i * 10_007);
    const echoed = new Promise<Buffer>(resolve => socket.once("message", data => resolve(data as Buffer)));
    socket.send(sent);
    if (!sent.equals(await echoed)) throw new Error(`message ${i} came back changed`);
  }
  socket.close();
}

async function parallel(url: string, count: number, sha256: string): Promise<void> {
  const one = (): Promise<void> =>
    new Promise((resolve, reject) => {
      get(url, { agent: false }, response => {
        const hash = createHash("sha256");
        response.on("data", chunk => hash.update(chunk)).on("error", reject);
        response.on("end", () => {
          if (hash.digest("hex") === sha256) resolve();
          else reject(new Error("a body came changed"));
        });
      }).on("error", reject);
    });
  await Promise.all(Array.from({ length: count }, one));
}

const [role, a = "", b = "", c = ""] = process.argv.slice(2);
if (role === "serve") serve(a);
else if (role === "h2") await h2(a, Number(b), Number(c));
else if (role === "ws") await ws(a, Number(b));
else if (role === "parallel") await parallel(a, Number(b), c);
else throw new Error(`unknown role ${role}`);
