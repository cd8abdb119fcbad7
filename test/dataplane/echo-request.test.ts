import t from "tap";
import { Address } from "../../src/base/index.js";
import { writeEchoRequest } from "../../src/dataplane/echo-request.js";
import { PEER, PEER_V6, RawPeer, STACK, STACK_V6 } from "../netstack/raw-peer.js";

for (const [source, destination] of [
  [PEER, STACK],
  [PEER_V6, STACK_V6],
] as const) {
  t.test(`an echo request that a stack answers in kind, IPv${source.family}`, async t => {
    for (const bytes of [1200, 1333, 1420]) {
      const peer = new RawPeer({ family: source.family });
      const at = peer.arena.reserve(2_048);
      peer.arena.u8.fill(0xaa, at, at + 2_048);
      writeEchoRequest(peer.arena, at, bytes, source, destination, 0x637a0007);
      t.equal(peer.arena.u8[at + bytes], 0xaa, "not a byte more");
      peer.inject(peer.arena.u8.slice(at, at + bytes));
      const [reply] = peer.packets as [Uint8Array];
      t.equal(reply.length, bytes);
      const header = source.family === 4 ? 20 : 40;
      t.same([...reply.slice(header + 4, header + 8)], [0x63, 0x7a, 0, 7]);
      t.ok(Address.read(reply, source.family === 4 ? 16 : 24, source.family).equals(source));
      t.equal(peer.stack.counters.icmpBad, 0);
    }
  });
}
