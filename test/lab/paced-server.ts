/**
 * `node paced-server.js ADDRESS FILE`: the file at `/whole`; at `/paced` a little of it at a time until somebody
 * asks for `/rest`, and then the rest, so that what has to happen in the middle of a download does.
 */
import { readFileSync } from "node:fs";
import { createServer, type ServerResponse } from "node:http";

const PIECE_BYTES = 16 * 1024;
const PIECE_MS = 20;

const [address = "", file = ""] = process.argv.slice(2);
const body = readFileSync(file);
const paced = new Map<ServerResponse, { sent: number; timer: NodeJS.Timeout }>();

function sendRest(response: ServerResponse): void {
  const state = paced.get(response);
  if (state === undefined) return;
  clearInterval(state.timer);
  paced.delete(response);
  response.end(body.subarray(state.sent));
}

function pace(response: ServerResponse): void {
  const timer = setInterval(() => {
    const state = paced.get(response);
    if (state === undefined) return;
    response.write(body.subarray(state.sent, state.sent + PIECE_BYTES));
    state.sent += PIECE_BYTES;
    if (state.sent >= body.length) sendRest(response);
  }, PIECE_MS);
  paced.set(response, { sent: 0, timer });
}

const server = createServer((request, response) => {
  if (request.url === "/rest") {
    for (const other of [...paced.keys()]) sendRest(other);
    response.end();
    return;
  }
  response.writeHead(200, { "content-length": body.length });
  if (request.url === "/paced") pace(response);
  else response.end(body);
});
server.listen(80, address, () => console.log("ready"));
