/** Our link at systemd-resolved, against a bus that does what the case says. The real one: `npm run lab -- resolved`. */
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import t, { type Test } from "tap";
import { Address, textLogger } from "../../src/base/index.js";
import { type DbusMessage, decodeMessage, encodeMessage } from "../../src/dns/dbus-message.js";
import { ResolvedLink, type ResolvedOptions } from "../../src/dns/index.js";

const NAME = "org.freedesktop.resolve1";
const BUS_NAME = "org.freedesktop.DBus";
const NAMES = { servers: [Address.from("198.18.0.2")], domains: ["cluster.local", "18.198.in-addr.arpa"] };
const REGISTRATION = [
  ["SetLinkDefaultRoute", 5, false],
  [
    "SetLinkDomains",
    5,
    [
      ["cluster.local", true],
      ["18.198.in-addr.arpa", true],
    ],
  ],
  ["SetLinkDNSSEC", 5, "no"],
  ["SetLinkDNSOverTLS", 5, "no"],
  ["SetLinkLLMNR", 5, "no"],
  ["SetLinkMulticastDNS", 5, "no"],
  ["SetLinkDNS", 5, [[2, [198, 18, 0, 2]]]],
];
const SILENT = textLogger({ now: () => new Date(0), write: () => {}, level: "info" });
const MUTE = "mute";

/** One client; `refuse` names the error (or `MUTE`) for the calls of a method, each as often as it is listed. */
class FakeBus {
  /** Short: a socket's path has 107 bytes. */
  readonly path: string = join(mkdtempSync(join(tmpdir(), "czctl-bus-")), "bus");
  /** What resolved was told: member and arguments. */
  told: unknown[][] = [];
  running = true;
  refuse: [member: string, error: string][] = [];
  flags = new Set<number>();
  /** Before the answer. */
  onCall: (member: string) => void = () => {};
  #server: Server;
  #client: Socket | undefined;
  #serial = 0;
  #waiting: (() => void)[] = [];

  constructor(t: Test) {
    this.#server = createServer(socket => this.#accept(socket));
    t.teardown(() => this.close());
  }

  async listen(): Promise<void> {
    await once(this.#server.listen(this.path), "listening");
  }

  close(): void {
    this.#client?.destroy();
    this.#server.close();
    rmSync(dirname(this.path), { recursive: true, force: true });
  }

  /** As when the bus is started anew. */
  hangUp(): void {
    this.#client?.destroy();
  }

  send(bytes: Buffer): void {
    this.#client?.write(bytes);
  }

  ownerChanged(running: boolean): void {
    this.running = running;
    const body = [NAME, running ? "" : ":1.1", running ? ":1.1" : ""];
    this.#reply({
      type: 4,
      flags: 1,
      serial: 0,
      path: "/",
      member: "NameOwnerChanged",
      sender: BUS_NAME,
      signature: "sss",
      body,
    });
  }

  /** Until resolved was told `count` things. */
  async heard(count: number): Promise<unknown[][]> {
    while (this.told.length < count) await new Promise<void>(resolve => this.#waiting.push(resolve));
    return this.told.splice(0);
  }

  #accept(socket: Socket): void {
    this.#client = socket;
    let received: Buffer = Buffer.alloc(0);
    let authenticated = false;
    socket.on("error", () => {});
    socket.on("data", chunk => {
      received = Buffer.concat([received, chunk]);
      if (!authenticated) {
        const text = received.toString("latin1");
        if (text.startsWith("\0AUTH EXTERNAL ") && text.endsWith("\r\n")) socket.write("OK 0123\r\n");
        const begin = received.indexOf("BEGIN\r\n");
        received = begin === -1 ? Buffer.alloc(0) : received.subarray(begin + 7);
        authenticated = begin !== -1;
      }
      for (
        let found = decodeMessage(received);
        authenticated && found !== null;
        found = decodeMessage(received)
      ) {
        received = received.subarray(found.length);
        this.#answer(found.message);
      }
    });
  }

  #answer({ member = "", destination, serial, flags, body }: DbusMessage): void {
    this.flags.add(flags);
    this.onCall(member);
    const reply = { type: 2, flags: 1, serial: 0, replySerial: serial, body: [] };
    if (destination === NAME) {
      this.told.push([member, ...body]);
      for (const wake of this.#waiting.splice(0)) wake();
    }
    const refused = this.refuse.findIndex(([each]) => each === member);
    if (refused !== -1) {
      const [[, error = ""] = []] = this.refuse.splice(refused, 1);
      if (error !== MUTE) this.#reply({ ...reply, type: 3, errorName: error, signature: "s", body: ["no"] });
    } else if (member === "NameHasOwner") this.#reply({ ...reply, signature: "b", body: [this.running] });
    else if (member === "GetConnectionUnixProcessID") this.#reply({ ...reply, signature: "u", body: [77] });
    else this.#reply(reply);
  }

  #reply(message: DbusMessage): void {
    this.send(encodeMessage({ ...message, serial: ++this.#serial }));
  }
}

async function start(
  t: Test,
  change: (bus: FakeBus) => void = () => {},
  options: Partial<ResolvedOptions> = {},
): Promise<{ bus: FakeBus; link: ResolvedLink }> {
  const bus = new FakeBus(t);
  change(bus);
  await bus.listen();
  const link = new ResolvedLink({
    link: 5,
    log: SILENT,
    busPath: bus.path,
    isOurNetwork: pid => pid === 77,
    ...options,
  });
  t.teardown(() => link.withdraw());
  link.set(NAMES);
  return { bus, link };
}

async function state(link: ResolvedLink, wanted: string): Promise<void> {
  while (link.status.state !== wanted) await new Promise(setImmediate);
}

t.test("our zone is asked of us, the servers told last, and no service is started for it", async t => {
  const { bus, link } = await start(t);
  t.strictSame(await bus.heard(REGISTRATION.length), REGISTRATION);
  await state(link, "registered");
  t.strictSame([...bus.flags], [2], "NO_AUTO_START");
  link.set({ ...NAMES, servers: [Address.from("fd11::2")] });
  const again = await bus.heard(REGISTRATION.length);
  t.strictSame(again.at(-1), ["SetLinkDNS", 5, [[10, [0xfd, 0x11, ...Array(13).fill(0), 2]]]]);
  await state(link, "registered");
  link.set({ ...NAMES, servers: [Address.from("fd11::2")] });
  await link.withdraw();
  t.strictSame(bus.told, [["RevertLink", 5]], "the same names again: nothing to say; withdrawn");
});

t.test("resolved restarts, comes later, or goes", async t => {
  const { bus, link } = await start(t, bus => {
    bus.running = false;
  });
  await new Promise(resolve => setTimeout(resolve, 20));
  t.strictSame(bus.told, [], "not running: not called");
  for (let i = 0; i < 2; i++) {
    bus.ownerChanged(true);
    t.strictSame(await bus.heard(REGISTRATION.length), REGISTRATION);
    await state(link, "registered");
    bus.ownerChanged(false);
    await state(link, "absent");
  }
  // It goes while we tell it: the call that it does not answer any more is no refusal.
  bus.refuse = [["SetLinkDomains", "org.freedesktop.DBus.Error.NoReply"]];
  bus.onCall = member => member === "SetLinkDomains" && bus.ownerChanged(false);
  bus.ownerChanged(true);
  await bus.heard(2);
  await state(link, "absent");
  await new Promise(resolve => setTimeout(resolve, 20));
  t.equal(link.status.state, "absent");
  await link.withdraw();
  t.strictSame(bus.told, [], "nobody to withdraw from");
});

t.test("not known yet, too old, no permission", async t => {
  const early = await start(t, bus => {
    bus.refuse = [["SetLinkDomains", "org.freedesktop.resolve1.NoSuchLink"]];
  });
  await state(early.link, "refused");
  t.equal(early.link.status.problem, "no");
  await state(early.link, "registered");
  t.strictSame(early.bus.told.slice(2), REGISTRATION, "once more from the start");

  const old = await start(t, bus => {
    bus.refuse = [["SetLinkDefaultRoute", "org.freedesktop.DBus.Error.UnknownMethod"]];
  });
  await state(old.link, "registered");
  t.equal(old.bus.told.length, REGISTRATION.length);
});

t.test("the bus goes while we register: we come back", async t => {
  const { bus, link } = await start(
    t,
    bus => {
      bus.onCall = member => member === "SetLinkDomains" && bus.hangUp();
    },
    { busRetryMs: 200 },
  );
  await bus.heard(2);
  bus.onCall = () => {};
  await state(link, "absent");
  await state(link, "registered");
});

t.test(
  "any user's program may send us signals: only what the bus itself says counts, and none ends us",
  async t => {
    const { bus, link } = await start(t);
    await state(link, "registered");
    const forged = { type: 4, flags: 1, serial: 7, path: "/", member: "NameOwnerChanged", sender: ":1.66" };
    bus.send(encodeMessage({ ...forged, signature: "sss", body: [NAME, ":1.1", ""] }));
    // A dictionary and a double, which we have no use for: "a{sv}d", empty and 0.
    const odd = encodeMessage({ ...forged, signature: "a(yy)ss", body: [[], "", ""] });
    odd.write("a{sv}dd", odd.indexOf("a(yy)ss"));
    bus.send(odd);
    bus.told = [];
    link.set({ ...NAMES, domains: ["example.local"] });
    await bus.heard(REGISTRATION.length);
    await state(link, "registered");
  },
);

t.test("withdrawn while we register: nothing is said after that", async t => {
  const { bus, link } = await start(t);
  let withdrawn: Promise<void> | undefined;
  bus.onCall = member => {
    if (member === "SetLinkDomains") withdrawn ??= link.withdraw();
  };
  await bus.heard(3);
  await withdrawn;
  t.strictSame(bus.told.length, 0);
});

t.test("a resolved of another network namespace: its links are not ours", async t => {
  const { bus, link } = await start(t, () => {}, { isOurNetwork: () => false });
  await state(link, "refused");
  t.match(link.status.problem, /another network/);
  t.strictSame(bus.told, []);
});

t.test(
  "a bus that talks nonsense, or dies, harms nobody; one that is silent delays the end by a second",
  async t => {
    const { bus, link } = await start(t);
    await state(link, "registered");
    bus.send(Buffer.from("nonsense".repeat(4)));
    await state(link, "absent");

    const silent = await start(t, bus => {
      bus.refuse = [["RevertLink", MUTE]];
    });
    await state(silent.link, "registered");
    const since = performance.now();
    await silent.link.withdraw();
    t.ok(performance.now() - since < 4_000);
  },
);
