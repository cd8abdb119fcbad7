/**
 * A flood of WireGuard initiations: `node flooder.js KIND HOST PORT PUBLIC-KEY PER-SECOND SECONDS`. Each goes by
 * itself, from one of many ports, so that no kernel on its way makes one of several. Prints when it
 * is answered by a cookie, and at the end how many it sent.
 *
 * | KIND   | a message is                                | and costs its receiver, under load      |
 * |--------|---------------------------------------------|-----------------------------------------|
 * | forged | noise of the right type and length          | a mac1                                  |
 * | mac1   | noise with a right mac1                     | a mac1, and a cookie reply now and then |
 * | mac2   | noise with a right mac1 and a mac2 of noise | three macs, and such a reply            |
 */
import { randomFillSync } from "node:crypto";
import { Address, Arena, ENDPOINT_BYTES, fromBase64, writeEndpoint } from "../../src/base/index.js";
import { createPlainCrypto } from "../../src/crypto/index.js";
import { UdpSocket } from "../../src/linux/index.js";
import { CookieKeeper } from "../../src/wireguard/cookie.js";

const INITIATION_BYTES = 148;
const MAC2_AT = 132;
const MESSAGES = 4096;
const PORTS = 64;
const TICK_MS = 5;

const [kind = "", host = "", port = "", publicKey = "", perSecond = "", seconds = ""] = process.argv.slice(2);
const arena = new Arena(4 << 20);
const endpoint = arena.reserve(ENDPOINT_BYTES);
writeEndpoint(arena.u8, endpoint, { address: Address.from(host), port: Number(port) });
const messages = arena.reserve(MESSAGES * INITIATION_BYTES);
const keeper = new CookieKeeper(createPlainCrypto(arena), fromBase64(publicKey) as Uint8Array);
for (let i = 0; i < MESSAGES; i++) {
  const at = messages + i * INITIATION_BYTES;
  const message = arena.u8.subarray(at, at + INITIATION_BYTES);
  randomFillSync(message);
  message.set([1, 0, 0, 0]);
  if (kind !== "forged") keeper.addMacs(message, 0);
  if (kind === "mac2") randomFillSync(message, MAC2_AT);
}

const sockets = Array.from({ length: PORTS }, () => UdpSocket.bind(arena, { port: 0 }));
const start = performance.now();
const endpointOfAnswer = arena.reserve(ENDPOINT_BYTES);
const answer = arena.reserve(65_536);
const COOKIE = 3;
let sent = 0;
let loaded = false;
console.log("flooding");
const timer = setInterval(() => {
  const ms = performance.now() - start;
  const due = (Math.min(ms, Number(seconds) * 1000) * Number(perSecond)) / 1000;
  while (sent < due) {
    const offset = messages + (sent % MESSAGES) * INITIATION_BYTES;
    const socket = sockets[sent % PORTS] as UdpSocket;
    if (socket.send(offset, INITIATION_BYTES, INITIATION_BYTES, endpoint) < 0) break;
    sent++;
  }
  if (!loaded && sockets.some(socket => socket.receive(answer, 65_536, endpointOfAnswer) > 0)) {
    loaded = arena.u8[answer] === COOKIE;
    if (loaded) console.log("the receiver is under load");
  }
  if (ms < Number(seconds) * 1000) return;
  clearInterval(timer);
  console.log(`sent ${sent} in ${Math.round(ms)} ms`);
  for (const socket of sockets) socket.close();
}, TICK_MS);
