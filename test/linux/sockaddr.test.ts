import t from "tap";
import { Arena, parseEndpoint, readEndpoint, writeEndpoint } from "../../src/base/index.js";
import { readSockaddr, writeSockaddr } from "../../src/linux/sockaddr.js";

const V4 = "0200 1f90 c6120007 0000000000000000";
const MAPPED = "0a00 1f90 00000000 00000000000000000000ffffc6120007 00000000";
const V6 = "0a00 1f90 00000000 20010db8000100020003000400050006 00000000";

for (const [text, mapped, sockaddr] of [
  ["198.18.0.7:8080", false, V4],
  ["198.18.0.7:8080", true, MAPPED],
  ["[2001:db8:1:2:3:4:5:6]:8080", false, V6],
  ["[2001:db8:1:2:3:4:5:6]:8080", true, V6],
] as const) {
  t.test(`${text} ${mapped ? "on a dual-stack socket" : ""}`, async t => {
    const arena = new Arena(256);
    arena.u8.fill(0xee);
    const endpoint = parseEndpoint(text)!;
    writeEndpoint(arena.u8, 64, endpoint);
    const record = arena.u8.slice(64, 84);
    const length = writeSockaddr(arena, 64, 128, mapped);
    t.equal(Buffer.from(arena.u8.slice(128, 128 + length)).toString("hex"), sockaddr.replaceAll(" ", ""));

    arena.u8.fill(0xee, 0, 64);
    readSockaddr(arena, 128, 20);
    t.same(arena.u8.slice(20, 40), record);
    t.same(readEndpoint(arena.u8, 20), endpoint);
    t.equal(arena.u8[40], 0xee);
  });
}
