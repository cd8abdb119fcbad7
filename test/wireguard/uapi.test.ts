/** The configuration protocol's text: requests as `wg` writes them, answers as `wg` reads them, and bad ones. */
import t from "tap";
import { Prefix, toHex } from "../../src/base/index.js";
import {
  applySet,
  ERRNO_INVALID,
  errnoLine,
  parseSet,
  removedBy,
  renderGet,
} from "../../src/wireguard/index.js";
import { endpoint, ipv4, pair, World } from "./world.js";

const KEY = "b1".repeat(32);
const OTHER = "c2".repeat(32);

t.test("a full request", async t => {
  const request = parseSet(
    [
      `private_key=${"a0".repeat(32)}`,
      "listen_port=51820",
      "fwmark=4711",
      "replace_peers=true",
      `public_key=${KEY}`,
      `preshared_key=${"01".repeat(32)}`,
      "endpoint=[2001:db8::1]:51821",
      "persistent_keepalive_interval=25",
      "replace_allowed_ips=true",
      "allowed_ip=10.0.0.0/8",
      "allowed_ip=fd00::/8",
      "protocol_version=1",
      `public_key=${OTHER}`,
      "remove=true",
      "",
    ].join("\n"),
  );
  t.match(request, { listenPort: 51820, fwmark: 4711, replacePeers: true });
  t.equal(toHex(request?.privateKey as Uint8Array), "a0".repeat(32));
  t.equal(request?.peers.length, 2);
  t.match(request?.peers[0], {
    remove: false,
    replaceAllowedIps: true,
    persistentKeepaliveSeconds: 25,
    endpoint: { port: 51821 },
  });
  t.same(
    request?.peers[0]?.allowedIps.map(({ prefix }) => prefix.toString()),
    ["10.0.0.0/8", "fd00::/8"],
  );
  t.match(request?.peers[1], { remove: true });
});

t.test("a wrong line refuses the whole request", async t => {
  const peer = `public_key=${KEY}\n`;
  const wrong = [
    "nonsense",
    "unknown=1",
    "private_key=abc",
    `private_key=${"zz".repeat(32)}`,
    `private_key=${"00".repeat(31)}`,
    "listen_port=65536",
    "listen_port=-1",
    "listen_port=",
    "listen_port=0x10",
    "fwmark=4294967296",
    "replace_peers=false",
    "endpoint=1.2.3.4:5",
    "public_key=00",
    `${peer}endpoint=example.org:80`,
    `${peer}endpoint=1.2.3.4`,
    `${peer}endpoint=1.2.3.4:0`,
    `${peer}allowed_ip=10.0.0.0/33`,
    `${peer}allowed_ip=`,
    `${peer}remove=yes`,
    `${peer}protocol_version=2`,
    `${peer}persistent_keepalive_interval=70000`,
    `${peer}listen_port=5`,
    `${peer}preshared_key=5`,
  ];
  for (const text of wrong) t.equal(parseSet(text), null, text);
  t.same(parseSet(""), { replacePeers: false, peers: [] });
  t.equal(errnoLine(ERRNO_INVALID), "errno=-22\n\n");
});

t.test(
  "applying: add, change, take and remove allowed IPs, update_only, our own key, replace_peers",
  async t => {
    const { world, a, b, atA } = pair();
    const device = a.device;
    const apply = (...lines: string[]): void => {
      const request = parseSet(lines.join("\n"));
      if (request === null) throw new Error("bad request");
      applySet(device, request, world.now);
    };
    const ips = (key: string): string[] | undefined =>
      [...device.peers()].find(peer => toHex(peer.publicKey) === key)?.allowedIps.map(prefix => `${prefix}`);
    const keyOfB = toHex(b.publicKey);
    apply(`public_key=${keyOfB}`, "allowed_ip=10.0.9.0/24", "endpoint=192.0.2.9:99");
    t.same(ips(keyOfB), ["10.0.0.2/32", "10.0.9.0/24"], "added to what was there");
    t.equal(atA.endpoint[7], 9);
    apply(`public_key=${keyOfB}`, "allowed_ip=-10.0.0.2/32");
    t.same(ips(keyOfB), ["10.0.9.0/24"]);
    apply(`public_key=${KEY}`, "update_only=true", "allowed_ip=10.0.9.0/24");
    t.equal(ips(KEY), undefined);
    apply(`public_key=${KEY}`, "allowed_ip=10.0.9.0/24");
    t.same(ips(KEY), ["10.0.9.0/24"]);
    t.same(ips(keyOfB), [], "it moved");
    apply(`public_key=${keyOfB}`, "replace_allowed_ips=true", "allowed_ip=0.0.0.0/0", "allowed_ip=::/0");
    t.same(ips(keyOfB), ["0.0.0.0/0", "::/0"]);
    apply(`public_key=${toHex(device.publicKey)}`, "allowed_ip=1.2.3.4/32");
    t.equal([...device.peers()].length, 2, "a peer with our own key is passed over");
    apply(`public_key=${KEY}`, "remove=true", `public_key=${OTHER}`, "remove=true");
    t.equal(ips(KEY), undefined);
    apply("replace_peers=true", `public_key=${OTHER}`);
    t.same(
      [...device.peers()].map(peer => toHex(peer.publicKey)),
      [OTHER],
    );
    apply(`private_key=${"77".repeat(32)}`);
    t.equal(toHex(device.privateKey), `70${"77".repeat(31)}`, "clamped, as wg shows it");
  },
);

t.test("wg setconf with what is set already interrupts nobody; what it leaves out is gone", async t => {
  const { world, a, b, atA } = pair({ presharedKey: new Uint8Array(32).fill(9) });
  a.send(atA, ipv4("10.0.0.1", "10.0.0.2", 40));
  world.advance(50);
  const apply = (...lines: string[]): void => {
    const request = parseSet([...lines].join("\n"));
    if (request === null) throw new Error("bad request");
    t.same(
      removedBy(a.device, request).map(peer => toHex(peer.publicKey)),
      [],
    );
    applySet(a.device, request, world.now);
  };
  const same = [`private_key=${toHex(a.device.privateKey)}`, "replace_peers=true"];
  const peer = [`public_key=${toHex(b.publicKey)}`, "allowed_ip=10.0.0.2/32"];
  apply(...same, ...peer, `preshared_key=${"09".repeat(32)}`, "persistent_keepalive_interval=25");
  t.ok(atA.hasSession(world.now), "the session goes on");
  const before = world.log.length;
  a.send(atA, ipv4("10.0.0.1", "10.0.0.2", 40));
  t.equal(world.log[before]?.bytes[0], 4, "with a data packet, not a handshake");
  apply(...same, ...peer);
  t.equal(atA.persistentKeepaliveSeconds, 0);
  t.equal(toHex(atA.handshake.getPresharedKey()), "00".repeat(32));
  t.same(atA.allowedIps.map(String), ["10.0.0.2/32"]);
});

t.test("the answer to get=1, and that it can be set again", async t => {
  const world = new World();
  const a = world.host("192.0.2.1:1001");
  const b = world.host("192.0.2.2:1002");
  const peer = a.peer(b, {
    endpoint: endpoint(b),
    presharedKey: new Uint8Array(32).fill(7),
    allowedIps: [Prefix.from("10.0.0.2/32"), Prefix.from("fd00::2/128")],
    persistentKeepaliveSeconds: 25,
  });
  peer.lastHandshakeAt = 1_767_225_600_123;
  peer.rxBytes = 12;
  peer.txBytes = 34;
  const text = renderGet(a.device, { listenPort: 51820, fwmark: 0 });
  t.equal(
    text,
    [
      `private_key=${toHex(a.device.privateKey)}`,
      "listen_port=51820",
      `public_key=${toHex(b.publicKey)}`,
      `preshared_key=${"07".repeat(32)}`,
      "protocol_version=1",
      "endpoint=192.0.2.2:1002",
      "last_handshake_time_sec=1767225600",
      "last_handshake_time_nsec=123000000",
      "tx_bytes=34",
      "rx_bytes=12",
      "persistent_keepalive_interval=25",
      "allowed_ip=10.0.0.2/32",
      "allowed_ip=fd00::2/128",
      "errno=0",
      "",
      "",
    ].join("\n"),
  );
  const settable = text
    .split("\n")
    .filter(line => !/^(last_|tx_|rx_|errno)/.test(line))
    .join("\n");
  t.ok(parseSet(settable));
});
