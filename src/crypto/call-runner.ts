/**
 * A few instructions of machine code that walk a list of calls: one foreign call carries out as many as the list holds,
 * where each by itself would cost what koffi and Node-API cost, 35 to 45 ns. See `call-list.ts` for the list and
 * docs/decisions/0020 for what speaks for this and what bounds it.
 *
 * The code is the same for every list, knows no address and takes no data.
 */
import { addCode } from "../machine/index.js";

/** Carries out `records` calls, at least one, that are written down at the address `list`. */
export type CallRunner = (list: number, records: number) => void;

/**
 * A record is {routine, five arguments}, 64 bits each. All five are passed whatever the routine takes: they travel in
 * registers, and a routine does not look at those it does not have.
 */
const CODE: Partial<Record<NodeJS.Architecture, Uint8Array>> = {
  // System V AMD64 ABI §3.2: rbx and rbp survive a call, the stack is aligned to 16 bytes at one.
  x64: Uint8Array.of(
    0x53, //                    push rbx
    0x55, //                    push rbp
    ...[0x48, 0x83, 0xec, 8], // sub  rsp, 8
    ...[0x48, 0x89, 0xfb], //    mov  rbx, rdi       list
    ...[0x48, 0x89, 0xf5], //    mov  rbp, rsi       records
    ...[0x48, 0x8b, 0x7b, 8], // mov  rdi, [rbx+8]   ◄─┐
    ...[0x48, 0x8b, 0x73, 16], // mov  rsi, [rbx+16]   │
    ...[0x48, 0x8b, 0x53, 24], // mov  rdx, [rbx+24]   │
    ...[0x48, 0x8b, 0x4b, 32], // mov  rcx, [rbx+32]   │
    ...[0x4c, 0x8b, 0x43, 40], // mov  r8, [rbx+40]    │
    ...[0xff, 0x13], //          call [rbx]            │
    ...[0x48, 0x83, 0xc3, 48], // add  rbx, 48         │
    ...[0x48, 0xff, 0xcd], //    dec  rbp              │
    ...[0x75, 0xe1], //          jnz  ─────────────────┘
    ...[0x48, 0x83, 0xc4, 8], // add  rsp, 8
    0x5d, //                    pop  rbp
    0x5b, //                    pop  rbx
    0xc3, //                    ret
  ),
  // AAPCS64 §6.1.1: x19 and x20 survive a call, the stack is aligned to 16 bytes always.
  arm64: words(
    0xa9be7bfd, // stp  x29, x30, [sp, #-32]!
    0x910003fd, // mov  x29, sp
    0xa90153f3, // stp  x19, x20, [sp, #16]
    0xaa0003f3, // mov  x19, x0               list
    0xaa0103f4, // mov  x20, x1               records
    0xa9400269, // ldp  x9, x0, [x19]         ◄─┐
    0xa9410a61, // ldp  x1, x2, [x19, #16]      │
    0xa9421263, // ldp  x3, x4, [x19, #32]      │
    0x9100c273, // add  x19, x19, #48           │
    0xd63f0120, // blr  x9                      │
    0xf1000694, // subs x20, x20, #1            │
    0x54ffff41, // b.ne ────────────────────────┘
    0xa94153f3, // ldp  x19, x20, [sp, #16]
    0xa8c27bfd, // ldp  x29, x30, [sp], #32
    0xd65f03c0, // ret
  ),
};

function words(...instructions: number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(instructions).buffer);
}

let runner: CallRunner | null = null;

/** Throws where there is no code for the processor, or none may be added to the process. */
export function callRunner(): CallRunner {
  runner ??= create();
  return runner;
}

function create(): CallRunner {
  const code = CODE[process.arch];
  if (code === undefined) throw new Error(`no list of calls on ${process.arch}`);
  return addCode(code, 2, "void");
}
