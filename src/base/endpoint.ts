/**
 * A UDP endpoint as 36 bytes in a buffer, so that the packet path compares and copies endpoints without
 * making objects: family (4 or 6), 0, port (big endian), address (16 bytes; IPv4 in the first four, rest 0),
 * and in the same way the address of ours that it talks to, all zero for whichever the kernel picks.
 */
import { Address, type AddressFamily } from "./address.js";

export const ENDPOINT_BYTES = 36;
/** Where the address of ours begins in a record. */
export const LOCAL_ADDRESS_AT = 20;

export interface Endpoint {
  readonly address: Address;
  readonly port: number;
}

export function writeEndpoint(bytes: Uint8Array, offset: number, endpoint: Endpoint): void {
  bytes.fill(0, offset, offset + ENDPOINT_BYTES);
  bytes[offset] = endpoint.address.family;
  bytes[offset + 2] = endpoint.port >>> 8;
  bytes[offset + 3] = endpoint.port;
  endpoint.address.write(bytes, offset + 4);
}

export function readEndpoint(bytes: Uint8Array, offset: number): Endpoint {
  const family: AddressFamily = bytes[offset] === 6 ? 6 : 4;
  const port = ((bytes[offset + 2] as number) << 8) | (bytes[offset + 3] as number);
  return { address: Address.read(bytes, offset + 4, family), port };
}

/** Whether the record names an address of ours. */
export function hasLocalAddress(bytes: Uint8Array, offset: number): boolean {
  for (let i = LOCAL_ADDRESS_AT; i < ENDPOINT_BYTES; i++) if (bytes[offset + i] !== 0) return true;
  return false;
}

/** Leaves the choice to the kernel. */
export function clearLocalAddress(bytes: Uint8Array, offset: number): void {
  bytes.fill(0, offset + LOCAL_ADDRESS_AT, offset + ENDPOINT_BYTES);
}

/** `HOST:PORT` with an address for host, `[v6]:PORT` for IPv6; null when `text` is not that. */
export function parseEndpoint(text: string): Endpoint | null {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  if (match === null) return null;
  const address = Address.parse((match[1] ?? match[2]) as string);
  const port = Number(match[3]);
  return address === null || port < 1 || port > 65535 ? null : { address, port };
}

export function formatEndpoint(endpoint: Endpoint): string {
  const { address, port } = endpoint;
  return address.family === 6 ? `[${address}]:${port}` : `${address}:${port}`;
}
