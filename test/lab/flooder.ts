/**
 * A flood of WireGuard initiations: `node flooder.js forged|mac1 HOST PORT PUBLIC-KEY PER-SECOND SECONDS`.
 * Forged ones are noise of the right length and type; those with a right mac1 cost the receiver more. Prints how
 * many it sent.
 */
import { randomFillSync } from "node:crypto";
import { Address, Arena, ENDPOINT_BYTES, fromBase64, writeEndpoint } from "../../src/base/index.js";
import { createPlainCrypto } from "../../src/crypto/index.js";
import { UdpSocket } from "../../src/linux/index.js";
import { CookieKeeper } from "../../src/wireguard/cookie.js";

const INITIATION_BYTES = 148;
const PER_CALL = 64;
const CALLS = 64;
const TICK_MS = 5;

const [kind = "", host = "", port = "", publicKey = "", perSecond = "", seconds = ""] = process.argv.slice(2);
const arena = new Arena(4 << 20);
const endpoint = arena.reserve(ENDPOINT_BYTES);
writeEndpoint(arena.u8, endpoint, { address: Address.from(host), port: Number(port) });
const bytes = CALLS * PER_CALL * INITIATION_BYTES;
const messages = arena.reserve(bytes);
const keeper = new CookieKeeper(createPlainCrypto(arena), fromBase64(publicKey) as Uint8Array);
for (let at = messages; at < messages + bytes; at += INITIATION_BYTES) {
  const message = arena.u8.subarray(at, at + INITIATION_BYTES);
  randomFillSync(message);
  message.set([1, 0, 0, 0]);
  if (kind === "mac1") keeper.addMacs(message, 0);
}

const socket = UdpSocket.bind(arena, { port: 0 });
const callBytes = PER_CALL * INITIATION_BYTES;
const start = performance.now();
let sent = 0;
let call = 0;
const timer = setInterval(() => {
  const ms = performance.now() - start;
  const due = (Math.min(ms, Number(seconds) * 1000) * Number(perSecond)) / 1000;
  while (sent + PER_CALL <= due) {
    const offset = messages + (call++ % CALLS) * callBytes;
    const result = socket.send(offset, callBytes, INITIATION_BYTES, endpoint);
    if (result < 0) break;
    sent += result / INITIATION_BYTES;
  }
  if (ms < Number(seconds) * 1000) return;
  clearInterval(timer);
  console.log(`sent ${sent} in ${Math.round(ms)} ms`);
  socket.close();
}, TICK_MS);
