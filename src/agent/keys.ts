/** Key material: X25519 pairs, preshared keys and the random inner IPv6 network. Raw bytes as base64. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes } from "node:crypto";
import { Address, fromBase64, Prefix } from "../base/index.js";

export interface KeyPair {
  privateKey: string;
  publicKey: string;
}

export function generateKeyPair(): KeyPair {
  const jwk = generateKeyPairSync("x25519").privateKey.export({ format: "jwk" });
  return { privateKey: fromBase64Url(jwk.d as string), publicKey: fromBase64Url(jwk.x as string) };
}

/** RFC 8410 §7: the PKCS #8 wrapping of a raw X25519 private key. */
const PKCS8_X25519_HEX = "302e020100300506032b656e04220420";

/** @param privateKey base64, 32 bytes */
export function publicKeyOf(privateKey: string): string {
  const der = Buffer.concat([Buffer.from(PKCS8_X25519_HEX, "hex"), Buffer.from(privateKey, "base64")]);
  const key = createPublicKey(createPrivateKey({ key: der, format: "der", type: "pkcs8" }));
  return fromBase64Url(key.export({ format: "jwk" }).x as string);
}

export function generatePresharedKey(): string {
  return randomBytes(32).toString("base64");
}

/** Base64 of exactly 32 bytes. */
export function isKey(text: string): boolean {
  return text.length === 44 && fromBase64(text)?.length === 32;
}

/** RFC 4193 §3.2: a /64 of fd00::/8 with a random global ID and subnet. */
export function randomUlaPrefix(): Prefix {
  const bytes = new Uint8Array(16);
  bytes.set(randomBytes(8));
  bytes[0] = 0xfd;
  return new Prefix(Address.read(bytes, 0, 6), 64);
}

function fromBase64Url(text: string): string {
  return Buffer.from(text, "base64url").toString("base64");
}
