import { execFile, execFileSync } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect } from "node:net";
import { decode, encode } from "dns-packet";
import t from "tap";
import { DnsResponder } from "../../src/dns/index.js";
import { makeZone, SERVICES } from "./world.js";

const NAME = "frontend.shop.svc.cluster.local";

async function started(t: { teardown(end: () => Promise<void>): void }, address: string = "127.0.0.1") {
  const responder = new DnsResponder();
  const ports = await responder.start({ address, port: 0 });
  t.teardown(() => responder.close());
  return { responder, ...ports };
}

function hasDig(): boolean {
  try {
    execFileSync("dig", ["-v"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

function dig(port: number, ...args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const common = ["@127.0.0.1", "-p", String(port), "+tries=1", "+time=3", "+noedns"];
    execFile("dig", [...common, ...args], (error, out) => (error ? reject(error) : resolve(out)));
  });
}

const question = (name: string, id: number = 7) =>
  encode({ type: "query", id, questions: [{ name, type: "A", class: "IN" }] });
const framed = (message: Buffer) =>
  Buffer.concat([Buffer.from([message.length >> 8, message.length & 255]), message]);

t.test("dig, over UDP and TCP", { skip: hasDig() ? false : "dig is not installed" }, async t => {
  const { responder, udpPort, tcpPort } = await started(t);
  t.match(await dig(udpPort, NAME), /status: SERVFAIL/, "before there is a zone");
  const endpoints = Array.from({ length: 100 }, (_, i) => ({ address: `10.1.0.${i}`, ready: true }));
  responder.setZone(makeZone({}, [...SERVICES, { ...SERVICES[2]!, name: "crowd", endpoints }]));
  const crowd = "crowd.shop.svc.cluster.local";

  t.equal(await dig(udpPort, "+short", NAME), "198.18.0.7\n");
  t.equal(await dig(udpPort, "+short", "frontend"), "198.18.0.7\n");
  t.equal(await dig(tcpPort, "+tcp", "+short", NAME), "198.18.0.7\n");
  t.equal(await dig(udpPort, "+short", "dual.shop.svc.cluster.local", "AAAA"), "fd11::8\n");
  t.equal(await dig(udpPort, "+short", `_http._tcp.${NAME}`, "SRV"), `0 100 80 ${NAME}.\n`);
  t.equal(await dig(udpPort, "+short", "dns-version.cluster.local", "TXT"), '"1.1.0"\n');
  t.equal(await dig(udpPort, "+short", "-x", "198.18.0.7"), `${NAME}.\n`);
  t.equal(await dig(udpPort, "+short", "-x", "fd11::8"), "dual.shop.svc.cluster.local.\n");
  t.equal(await dig(udpPort, "+short", "billing.shop", "CNAME"), "billing.example.com.\n");

  const nodata = await dig(udpPort, NAME, "AAAA");
  t.match(nodata, /status: NOERROR/);
  t.match(nodata, /flags: qr aa rd;/);
  t.match(
    nodata,
    /cluster\.local\.\s+5\s+IN\s+SOA\s+ns\.dns\.cluster\.local\. hostmaster\.cluster\.local\. 42 /,
  );
  t.match(await dig(udpPort, "nope.shop.svc.cluster.local"), /status: NXDOMAIN[\s\S]*SOA/);
  t.match(await dig(udpPort, "www.example.com"), /status: REFUSED/);
  t.match(
    await dig(udpPort, "FrontEnd.Shop.svc.cluster.local"),
    /^FrontEnd\.Shop\.svc\.cluster\.local\.\s+5\s+IN\s+A/m,
  );

  const truncated = await dig(udpPort, "+ignore", crowd);
  t.match(truncated, /flags: qr aa tc rd;/);
  t.match(truncated, /SIZE\s+rcvd: (4\d\d|50\d|51[0-2])$/m);
  t.equal((await dig(tcpPort, "+tcp", "+short", crowd)).split("\n").length, 101);
  t.match(
    await dig(udpPort, "+ignore", "+bufsize=1232", crowd),
    /EDNS: version: 0[\s\S]*SIZE\s+rcvd: 1[12]\d\d/,
  );
});

t.test("TCP: pieces, several questions at once, and garbage", async t => {
  const { responder, tcpPort } = await started(t);
  responder.setZone(makeZone());
  const socket = connect(tcpPort, "127.0.0.1");
  await once(socket, "connect");
  const both = Buffer.concat([
    framed(question(NAME, 1)),
    framed(question("nope.cluster.local", 2)),
    framed(question("frontend", 3)),
  ]);
  for (const byte of both.subarray(0, 5)) {
    socket.write(Buffer.from([byte]));
    await new Promise(setImmediate);
  }
  socket.write(both.subarray(5));
  let received = Buffer.alloc(0);
  const messages: ReturnType<typeof decode>[] = [];
  while (messages.length < 3) {
    const [chunk] = (await once(socket, "data")) as [Buffer];
    received = Buffer.concat([received, chunk]);
    while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
      const end = 2 + received.readUInt16BE(0);
      messages.push(decode(received.subarray(2, end)));
      received = received.subarray(end);
    }
  }
  t.strictSame(
    messages.map(m => [m.id, (m as unknown as { rcode: string }).rcode, m.answers?.length]),
    [
      [1, "NOERROR", 1],
      [2, "NXDOMAIN", 0],
      [3, "NOERROR", 1],
    ] as never,
  );
  socket.destroy();

  for (const garbage of [
    Buffer.from([0, 0]),
    Buffer.from([255, 255, 1]),
    framed(Buffer.from("GET / HTTP/1.1\r\n")),
  ]) {
    const other = connect(tcpPort, "127.0.0.1");
    other.on("error", () => {});
    other.resume();
    other.write(garbage);
    const what = garbage.toString("latin1");
    if (what.includes("GET")) {
      // Long enough to have a header: told off, not cut off.
      other.end();
    }
    await once(other, "close");
    t.pass(`closed after ${JSON.stringify(what)}`);
  }
});

t.test("UDP: garbage is survived, the sender's going away as well", async t => {
  const { responder, udpPort } = await started(t);
  responder.setZone(makeZone());
  const gone = createSocket("udp4");
  for (const bytes of ["", "x", "\0".repeat(12), "\xff".repeat(600)]) {
    gone.send(Buffer.from(bytes, "latin1"), udpPort, "127.0.0.1");
  }
  gone.send(question(NAME), udpPort, "127.0.0.1", () => gone.close());
  await once(gone, "close");
  const socket = createSocket("udp4");
  socket.send(question(NAME, 99), udpPort, "127.0.0.1");
  const [response] = (await once(socket, "message")) as [Buffer];
  socket.close();
  t.match(decode(response), { id: 99, rcode: "NOERROR" });
});

t.test("IPv6, a taken port, closing", async t => {
  const { responder, udpPort } = await started(t, "::1").catch(() => ({ responder: null, udpPort: 0 }));
  if (responder === null) return t.comment("no IPv6 loopback here");
  responder.setZone(makeZone());
  const socket = createSocket("udp6");
  socket.send(question(NAME, 5), udpPort, "::1");
  const [response] = (await once(socket, "message")) as [Buffer];
  socket.close();
  t.match(decode(response), { rcode: "NOERROR" });

  const second = new DnsResponder();
  await t.rejects(second.start({ address: "::1", port: udpPort }), {
    code: "DNS_LISTEN_FAILED",
    category: "environment",
  });
  await responder.close();
  await responder.close();
});

t.test(
  "UDP: asked again, the same answer under the new id and in the new case, until the zone is another",
  async t => {
    const { responder, udpPort } = await started(t);
    const socket = createSocket("udp4");
    t.teardown(() => socket.close());
    const ask = async (
      name: string,
      id: number,
    ): Promise<[id: number, name: string | undefined, serial: number | undefined]> => {
      socket.send(question(name, id), udpPort, "127.0.0.1");
      const [response] = (await once(socket, "message")) as [Buffer];
      const { questions, authorities } = decode(response);
      const [soa] = authorities as unknown as { data: { serial: number } }[];
      return [response.readUInt16BE(0), questions?.[0]?.name, soa?.data.serial];
    };
    t.equal((await ask("missing.cluster.local", 1)).length, 3);
    responder.setZone(makeZone({ serial: 42 }));
    for (const id of [2, 3, 65_535])
      t.strictSame(await ask("missing.cluster.local", id), [id, "missing.cluster.local", 42]);
    t.strictSame(await ask("MisSing.cluster.local", 4), [4, "MisSing.cluster.local", 42]);
    responder.setZone(makeZone({ serial: 43 }));
    t.strictSame(await ask("missing.cluster.local", 5), [5, "missing.cluster.local", 43]);
    for (let i = 0; i < 3_000; i++) await ask(`n${i}.cluster.local`, i);
    t.strictSame(
      await ask("missing.cluster.local", 6),
      [6, "missing.cluster.local", 43],
      "after many others",
    );
  },
);
