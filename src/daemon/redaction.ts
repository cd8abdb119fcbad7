/**
 * Takes out of texts what is nobody's business: keys, tokens, users' names, the internet addresses and host names
 * behind which somebody sits. The same thing gets the same stand-in everywhere, so a report still shows that two
 * places mean the same. Pure.
 *
 * Private addresses stay: which network collides with which is what reports are about.
 */
import { Address, Prefix } from "../base/index.js";

/** What is known to be private beforehand, whatever it looks like. */
export interface KnownSecret {
  kind: "key" | "user" | "host" | "domain" | "endpoint";
  text: string;
}

/** Shorter ones stand inside too many other words. */
const KNOWN_MIN_LENGTH = 3;
/** Nobody's: RFC 6890, RFC 5737, RFC 3849, and the rest of what is not on the internet. */
const NOT_PUBLIC: readonly Prefix[] = [
  ...["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"],
  ...["192.0.0.0/24", "192.0.2.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"],
  "224.0.0.0/3",
].map(text => Prefix.from(text));
const PUBLIC_6: Prefix = Prefix.from("2000::/3");
const DOCUMENTATION_6: Prefix = Prefix.from("2001:db8::/32");

const PRIVATE_KEY_BLOCK = /-----BEGIN [A-Z ]+-----[\s\S]*?(-----END [A-Z ]+-----|$)/g;
const NAMED_SECRET =
  /((?:authorization|bearer|token|password|passwd|secret|psk|private_?key|preshared_?key)["']?\s*[:=]?\s*["']?(?:bearer\s+)?)([^\s"',;}<>]{6,})/gi;
const JSON_WEB_TOKEN = /eyJ[\w-]{8,}\.[\w-]+\.[\w-]*/g;
/** 32 bytes in base64 or hexadecimal: WireGuard's keys, public ones too. */
const KEY = /(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{43}=|(?<![0-9a-fA-F])[0-9a-fA-F]{64}(?![0-9a-fA-F])/g;
/** No word is that long: another encoding of something. */
const BLOB = /(?<![\w+/-])[A-Za-z0-9+/_-]{64,}={0,2}/g;
const HOME = /(\/(?:home|Users)\/)([^/\s"':]+)/g;
const ADDRESS_4 = /(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.]*\d)/g;
const ADDRESS_6 = /(?<![\w:])(?:[0-9a-f]{0,4}:){2,7}[0-9a-f]{0,4}(?![\w:])/gi;

export class Redactor {
  readonly #standIns = new Map<string, string>();
  readonly #counts = new Map<string, number>();
  readonly #known: readonly { pattern: RegExp; kind: string }[];

  constructor(known: readonly KnownSecret[]) {
    this.#known = known
      .filter(({ text }) => text.length >= KNOWN_MIN_LENGTH)
      // One may be a part of another.
      .sort((a, b) => b.text.length - a.text.length)
      .map(({ text, kind }) => {
        const escaped = text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
        return { kind, pattern: new RegExp(`(?<![A-Za-z0-9])${escaped}(?![A-Za-z0-9])`, "gi") };
      });
  }

  redact(text: string): string {
    let out = text.replace(PRIVATE_KEY_BLOCK, block => this.#standIn("key", block));
    for (const { pattern, kind } of this.#known)
      out = out.replace(pattern, found => this.#standIn(kind, found));
    return out
      .replace(JSON_WEB_TOKEN, found => this.#standIn("secret", found))
      .replace(KEY, found => this.#standIn("key", found))
      .replace(NAMED_SECRET, (whole, name: string, value: string) =>
        looksLikeSecret(value) ? name + this.#standIn("secret", value) : whole,
      )
      .replace(BLOB, found => this.#standIn("secret", found))
      .replace(HOME, (_, path: string, user: string) => path + this.#standIn("user", user))
      .replace(ADDRESS_4, found => this.#address(found))
      .replace(ADDRESS_6, found => this.#address(found));
  }

  /** How many different ones of each kind were found. */
  get found(): Record<string, number> {
    return Object.fromEntries(this.#counts);
  }

  #address(text: string): string {
    const address = Address.parse(text);
    return address !== null && isPublic(address) ? this.#standIn("address", address.toString()) : text;
  }

  #standIn(kind: string, text: string): string {
    // What stands for something already.
    if (/^<[a-z]+-\d+>$/.test(text)) return text;
    const key = `${kind} ${kind === "key" || kind === "secret" ? text : text.toLowerCase()}`;
    let standIn = this.#standIns.get(key);
    if (standIn === undefined) {
      const count = (this.#counts.get(kind) ?? 0) + 1;
      this.#counts.set(kind, count);
      standIn = `<${kind}-${count}>`;
      this.#standIns.set(key, standIn);
    }
    return standIn;
  }
}

/** "no token yet" and "secret not found" are sentences. */
function looksLikeSecret(value: string): boolean {
  return !/^[a-z]+$/.test(value) && !value.startsWith("<");
}

function isPublic(address: Address): boolean {
  if (address.family === 4) return !NOT_PUBLIC.some(prefix => prefix.contains(address));
  return PUBLIC_6.contains(address) && !DOCUMENTATION_6.contains(address);
}
