import t from "tap";
import { Arena } from "../../src/base/index.js";
import { VIRTIO_NET_HDR_BYTES, virtioNet } from "../../src/linux/index.js";

const hex = (arena: Arena): string =>
  Buffer.from(arena.u8.slice(5, 5 + VIRTIO_NET_HDR_BYTES))
    .toString("hex")
    .replace(/../g, "$& ")
    .trim();

t.test("virtio 1.2 §5.1.6: header bytes, at an odd offset", async t => {
  const arena = new Arena(64);
  virtioNet.writePartial(arena, 5, false, 52, 1360, 20, 16);
  t.equal(hex(arena), "01 01 34 00 50 05 14 00 10 00");
  t.equal(virtioNet.gsoType(arena, 5), 1);
  t.equal(virtioNet.gsoSize(arena, 5), 1360);
  t.equal(virtioNet.csumStart(arena, 5), 20);
  t.equal(virtioNet.csumOffset(arena, 5), 16);
  t.equal(virtioNet.checksumTrusted(arena, 5), true);

  virtioNet.writePartial(arena, 5, true, 60, 1340, 40, 16);
  t.equal(hex(arena), "01 04 3c 00 3c 05 28 00 10 00");
  virtioNet.writePartial(arena, 5, true, 48, 0, 40, 6);
  t.equal(hex(arena), "01 00 30 00 00 00 28 00 06 00");
  virtioNet.writePlain(arena, 5);
  t.equal(hex(arena), "00 00 00 00 00 00 00 00 00 00");
  t.equal(virtioNet.checksumTrusted(arena, 5), false);

  arena.u8.set([2, 0x81], 5);
  t.equal(virtioNet.checksumTrusted(arena, 5), true, "DATA_VALID");
  t.equal(virtioNet.gsoType(arena, 5), 1, "without the ECN flag");
});
