/**
 * Machine code that is added to the process: in pages of its own, which are never writable and executable at a time.
 * (That Linux makes them executable later is also what lets an arm64 see the code: the instruction cache is brought up to
 * date then.) docs/decisions/0020, 0022, 0026 and 0030 say which code, and why there is any.
 */
import koffi from "koffi";

/** Arguments are numbers, or addresses as numbers. */
export type NativeFunction<Result> = (...values: number[]) => Result;

const PROT_READ_WRITE = 3;
const PROT_READ_EXECUTE = 5;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const address = "intptr_t";

/** The code as a function of `parameters` numbers, for as long as the process lives. Throws where none may be added. */
export function addCode(code: Uint8Array, parameters: number, result: "void"): NativeFunction<void>;
export function addCode(code: Uint8Array, parameters: number, result: "int"): NativeFunction<number>;
export function addCode(code: Uint8Array, parameters: number, result: string): unknown {
  const libc = koffi.load(null);
  const mmap = libc.func("mmap", address, [address, "size_t", "int", "int", "int", "long"]);
  const mprotect = libc.func("mprotect", "int", [address, "size_t", "int"]);
  const page: number = mmap(0, code.length, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
  if (page === -1) throw new Error("mmap failed");
  new Uint8Array(koffi.view(page, code.length)).set(code);
  if (mprotect(page, code.length, PROT_READ_EXECUTE) !== 0) {
    libc.func("munmap", "int", [address, "size_t"])(page, code.length);
    throw new Error("the system lets no code be added");
  }
  return koffi.decode(BigInt(page), koffi.proto(result, Array<string>(parameters).fill(address)));
}
