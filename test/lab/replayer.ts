/**
 * A router that remembers: forwards UDP on PORT to HOST:PORT and back, and sends every datagram a second and a
 * third time, the last one late and from another port. Run as `node replayer.js PORT HOST`.
 */
import { createSocket } from "node:dgram";

const [port, host] = [Number(process.argv[2]), process.argv[3]];
const LATE_MS = 50;

const near = createSocket("udp4");
const far = createSocket("udp4");
const elsewhere = createSocket("udp4");
let client: { address: string; port: number } | undefined;
let replayed = 0;

near.on("message", (datagram, from) => {
  client = from;
  far.send(datagram, port, host);
  far.send(datagram, port, host);
  setTimeout(() => elsewhere.send(datagram, port, host), LATE_MS);
  replayed += 2;
});
far.on("message", datagram => {
  if (client === undefined) return;
  near.send(datagram, client.port, client.address);
  near.send(datagram, client.port, client.address);
  replayed++;
});
process.on("SIGTERM", () => {
  console.log(`replayed ${replayed}`);
  process.exit();
});
far.bind(() => {
  console.log(`forwards from ${far.address().port}`);
  near.bind(port, () => console.log("ready"));
});
