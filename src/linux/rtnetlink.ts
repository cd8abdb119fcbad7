/** What links, addresses and routes have in common on rtnetlink: addresses as bytes, refusals as errors. */
import { Address, type AddressFamily } from "../base/index.js";
import { systemError } from "./errors.js";
import { type Answer, bytesOf, type Message } from "./netlink.js";
import { AF_INET, AF_INET6 } from "./sockaddr.js";

export function check(doing: string, answer: Answer): Message[] {
  if (!answer.ok) return fail(doing, answer);
  return answer.messages;
}

export function fail(doing: string, answer: Answer & { ok: false }): never {
  const detail = answer.detail;
  throw systemError(doing, "rtnetlink", answer.result, detail === undefined ? {} : { detail });
}

export function kernelFamily(family: AddressFamily): number {
  return family === 4 ? AF_INET : AF_INET6;
}

export function familyOf(kernel: number): AddressFamily | null {
  return kernel === AF_INET ? 4 : kernel === AF_INET6 ? 6 : null;
}

export function addressBytes(address: Address): Uint8Array {
  const bytes = new Uint8Array(address.bits / 8);
  address.write(bytes, 0);
  return bytes;
}

export function addressIn(value: DataView, family: AddressFamily): Address {
  return Address.read(bytesOf(value), 0, family);
}
