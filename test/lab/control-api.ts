/** Stand-in for the agent's control API: `node control-api.js ADDRESS CATALOG.json`, a snapshot and then pings. */
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { CATALOG_PATH, CONTROL_PORT } from "../../src/api/index.js";

const PING_MS = 1_000;
const [address = "", file = ""] = process.argv.slice(2);
const snapshot = JSON.stringify({ type: "snapshot", ...JSON.parse(readFileSync(file, "utf8")) });

createServer((request, response) => {
  if (request.url !== CATALOG_PATH) {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, { "content-type": "application/x-ndjson" });
  response.write(`${snapshot}\n`);
  const timer = setInterval(() => response.write('{"type":"ping"}\n'), PING_MS);
  response.on("close", () => clearInterval(timer));
}).listen(CONTROL_PORT, address, () => console.log("ready"));
