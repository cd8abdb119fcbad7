/** The encoder of x86-64 instructions beside the GNU assembler. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import * as avx512 from "../../src/machine/avx512.js";
import * as x64 from "../../src/machine/x64.js";
import { at, type Instruction, type Memory } from "../../src/machine/x64.js";

const WIDE = "rax rcx rdx rbx rsp rbp rsi rdi r8 r9 r10 r11 r12 r13 r14 r15".split(" ");
const LOW = "eax ecx edx ebx esp ebp esi edi r8d r9d r10d r11d r12d r13d r14d r15d".split(" ");
/** Each way to encode an address: bases that need a SIB byte or a displacement, and displacements of each size. */
const MEMORY: readonly Memory[] = [0, 3, 4, 5, 8, 12, 13, 15].flatMap(base =>
  [0, 8, -128, 127, 128, -129, 4096].map(offset => at(base, offset)),
);
const REGISTERS = [0, 1, 4, 5, 7, 8, 12, 13, 15];
const VALUES = [0, 1, -1, 127, 128, -128, -129, 0x7fff_ffff, -0x8000_0000];

const address = ({ base, offset }: Memory): string => `[${WIDE[base]}${offset < 0 ? "" : "+"}${offset}]`;

/** What the assembler is told, and what we make of it. */
const pairs: [text: string, bytes: Instruction][] = [];

const { add, adc, and, or, xor, sub, cmp, mov, imul } = x64;
for (const [name, encode] of Object.entries({ add, adc, and, or, xor, sub, cmp, mov, imul })) {
  for (const to of REGISTERS) {
    for (const from of REGISTERS) {
      // Two encodings are right for two registers: ".s" asks for the one with the destination in ModR/M's reg field.
      const suffix = name === "imul" ? "" : ".s";
      pairs.push([`${name}${suffix} ${WIDE[to]}, ${WIDE[from]}`, encode(to, from)]);
    }
    for (const from of MEMORY) pairs.push([`${name} ${WIDE[to]}, ${address(from)}`, encode(to, from)]);
  }
}
for (const [name, encode] of Object.entries({
  add: x64.addValue,
  adc: x64.adcValue,
  and: x64.andValue,
  sub: x64.subValue,
  cmp: x64.cmpValue,
})) {
  for (const value of VALUES) {
    for (const to of REGISTERS) {
      // The assembler has a shorter one for RAX.
      if (to !== 0) pairs.push([`${name} ${WIDE[to]}, ${value}`, encode(to, value)]);
    }
    for (const to of MEMORY) pairs.push([`${name} qword ptr ${address(to)}, ${value}`, encode(to, value)]);
  }
}
for (const value of VALUES) {
  for (const to of REGISTERS) pairs.push([`mov ${WIDE[to]}, ${value}`, x64.movValue(to, value)]);
  for (const to of MEMORY) pairs.push([`mov qword ptr ${address(to)}, ${value}`, x64.movValue(to, value)]);
}
for (const one of REGISTERS) {
  const [wide, low] = [WIDE[one], LOW[one]];
  pairs.push(
    [`neg ${wide}`, x64.neg(one)],
    [`dec ${wide}`, x64.dec(one)],
    [`shl ${wide}, 3`, x64.shl(one, 3)],
    [`shr ${wide}, 2`, x64.shr(one, 2)],
    [`shl ${wide}, cl`, x64.shlByRcx(one)],
    [`shr ${wide}, cl`, x64.shrByRcx(one)],
    [`push ${wide}`, x64.push(one)],
    [`pop ${wide}`, x64.pop(one)],
    [`xor.s ${low}, ${low}`, x64.clear(one)],
  );
  for (const from of MEMORY) pairs.push([`bzhi ${wide}, ${address(from)}, rcx`, x64.bzhiByRcx(one, from)]);
  for (const other of REGISTERS) {
    pairs.push([`bzhi ${wide}, ${WIDE[other]}, rcx`, x64.bzhiByRcx(one, other)]);
    pairs.push([`test ${wide}, ${WIDE[other]}`, x64.test(one, other)]);
    pairs.push([`mulx ${wide}, ${WIDE[other]}, r9`, x64.mulx(one, other, 9)]);
    pairs.push([`mulx rcx, ${wide}, ${WIDE[other]}`, x64.mulx(1, one, other)]);
    for (const [name, suffix] of Object.entries({
      below: "b",
      aboveOrEqual: "ae",
      notEqual: "ne",
      above: "a",
    })) {
      pairs.push([`cmov${suffix} ${wide}, ${WIDE[other]}`, x64.cmov(name as x64.Condition, one, other)]);
    }
  }
  for (const memory of MEMORY) {
    pairs.push(
      [`mov ${address(memory)}, ${wide}`, x64.store(memory, one)],
      [`mov ${low}, ${address(memory)}`, x64.movLow(one, memory)],
      [`lea ${wide}, ${address(memory)}`, x64.lea(one, memory)],
      [`mulx ${wide}, r10, ${address(memory)}`, x64.mulx(one, 10, memory)],
      [`vmovdqu ymm${one}, ${address(memory)}`, x64.vmovdqu(one, memory)],
      [`vmovdqu ${address(memory)}, ymm${one}`, x64.vmovdquStore(memory, one)],
      [`vmovdqu xmm${one}, ${address(memory)}`, x64.vmovdqu128(one, memory)],
      [`vmovdqu ${address(memory)}, xmm${one}`, x64.vmovdquStore128(memory, one)],
      [`vpbroadcastd ymm${one}, dword ptr ${address(memory)}`, x64.vpbroadcastd(one, memory)],
      [`vextracti128 ${address(memory)}, ymm${one}, 1`, x64.vextracti128Store(memory, one)],
      [`vpxor xmm${one}, xmm3, ${address(memory)}`, x64.vpxor128(one, 3, memory)],
    );
  }
}
pairs.push([`dec qword ptr [rbp+64]`, x64.dec(at(5, 64))]);
pairs.push(["ret", x64.ret], ["vzeroall", x64.vzeroall], ["cpuid", x64.cpuid], ["xgetbv", x64.xgetbv]);
const { vpaddd, vpxor, vpshufb, vpunpckldq, vpunpckhdq, vpunpcklqdq, vpunpckhqdq } = x64;
const vectors = { vpaddd, vpxor, vpshufb, vpunpckldq, vpunpckhdq, vpunpcklqdq, vpunpckhqdq };
for (const [name, encode] of Object.entries(vectors)) {
  for (const one of REGISTERS) {
    for (const other of REGISTERS) {
      for (const last of REGISTERS) {
        pairs.push([`{load} ${name} ymm${one}, ymm${other}, ymm${last}`, encode(one, other, last)]);
      }
    }
    for (const last of MEMORY) {
      pairs.push([`${name} ymm${one}, ymm9, ${address(last)}`, encode(one, 9, last)]);
    }
  }
}
for (const one of REGISTERS) {
  for (const other of REGISTERS) {
    pairs.push([`vpslld ymm${one}, ymm${other}, 12`, x64.vpslld(one, other, 12)]);
    pairs.push([`vpsrld ymm${one}, ymm${other}, 25`, x64.vpsrld(one, other, 25)]);
  }
}

// AVX-512: registers of each four that their upper bits tell apart, and displacements that are multiples and that are not.
const VECTORS = [0, 7, 8, 15, 16, 23, 24, 31];
const FAR: readonly Memory[] = [0, 5, 8, 12, 13].flatMap(base =>
  [0, 4, 32, 64, 100, -64, 508, 512, 4064, 8128, 8192, -8192, -8256].map(offset => at(base, offset)),
);
for (const [name, encode] of Object.entries({ vpaddd: avx512.vpaddd, vpxord: avx512.vpxord })) {
  for (const one of VECTORS) {
    for (const other of VECTORS) {
      for (const last of VECTORS) {
        pairs.push([`{evex} ${name} zmm${one}, zmm${other}, zmm${last}`, encode(one, other, last)]);
      }
    }
    for (const last of FAR) pairs.push([`${name} zmm${one}, zmm19, ${address(last)}`, encode(one, 19, last)]);
  }
}
for (const one of VECTORS) {
  pairs.push([`vprold zmm${one}, zmm${one}, 7`, avx512.vprold(one, 7)]);
  for (const other of VECTORS) {
    pairs.push(
      [`vshufi32x4 zmm${one}, zmm20, zmm${other}, 0x88`, avx512.vshufi32x4(one, 20, other, 0x88)],
      [`vpshufd zmm${one}, zmm${other}, 0x39`, avx512.vpshufd(one, other, 0x39)],
      [`{load} vmovdqu32 zmm${one}, zmm${other}`, avx512.vmovdqu32(one, other)],
    );
  }
  for (const memory of FAR) {
    pairs.push(
      [`vbroadcasti32x4 zmm${one}, ${address(memory)}`, avx512.vbroadcasti32x4(one, memory)],
      [`vmovdqu32 zmm${one}, ${address(memory)}`, avx512.vmovdqu32(one, memory)],
      [`vmovdqu32 ${address(memory)}, zmm${one}`, avx512.vmovdqu32Store(memory, one)],
      [`vmovdqu8 zmm${one}{k1}{z}, ${address(memory)}`, avx512.vmovdqu8Masked(one, memory)],
      [`vmovdqu8 ${address(memory)}{k1}, zmm${one}`, avx512.vmovdqu8MaskedStore(memory, one)],
    );
  }
}
pairs.push(["kmovq k1, rax", avx512.kmovqFromRax]);

/** Each line's bytes as the GNU assembler has them, or null without one. */
function assemble(lines: readonly string[]): string[] | null {
  const dir = mkdtempSync(join(tmpdir(), "czctl-x64-"));
  try {
    const [source, listing] = [join(dir, "all.s"), join(dir, "all.lst")];
    writeFileSync(source, [".intel_syntax noprefix", ...lines, ""].join("\n"));
    const args = [
      "--64",
      "-O0",
      "-mmnemonic=intel",
      "--listing-lhs-width=4",
      `-aln=${listing}`,
      "-o",
      join(dir, "o"),
      source,
    ];
    const done = spawnSync("as", args, { encoding: "utf8" });
    if (done.error !== undefined) return null;
    if (done.status !== 0) throw new Error(done.stderr.slice(0, 2000));
    const bytes: string[] = [];
    for (const line of readFileSync(listing, "utf8").split("\n")) {
      const found = /^\s*(\d+)\s+[0-9a-f]{4,8}\s+([0-9A-F ]+?)\s*(?:\t|$)/.exec(line);
      if (found !== null)
        bytes[Number(found[1]) - 2] =
          (bytes[Number(found[1]) - 2] ?? "") + (found[2] as string).replaceAll(" ", "");
    }
    return bytes;
  } finally {
    rmSync(dir, { recursive: true });
  }
}

t.test("every encoder, with every kind of operand", async t => {
  const expected = process.arch === "x64" ? assemble(pairs.map(([text]) => text)) : null;
  if (expected === null) {
    t.pass("", { skip: "needs the GNU assembler for x86-64" });
    return;
  }
  const wrong = pairs.flatMap(([text, bytes], i) => {
    const ours = bytes
      .map(byte => byte.toString(16).padStart(2, "0"))
      .join("")
      .toUpperCase();
    return ours === expected[i] ? [] : [`${text}: ${ours} instead of ${expected[i]}`];
  });
  t.same(wrong.slice(0, 20), []);
  t.ok(pairs.length > 5000);
});

t.test("jumps lead to their labels, forwards and backwards; one without a label is an error", async t => {
  const { Program } = x64;
  const code = new Program().label("a").jumpIf("equal", "b").jump("a").label("b", 16).call("a").link();
  t.same([...code.subarray(0, 11)], [0x0f, 0x84, 10, 0, 0, 0, 0xe9, 0xf5, 0xff, 0xff, 0xff]);
  t.same([...code.subarray(16)], [0xe8, 0xeb, 0xff, 0xff, 0xff]);
  t.throws(() => new Program().jump("nowhere").link(), TypeError);
});
