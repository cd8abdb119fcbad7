/** A QR code for the terminal, in colours of its own: light terminals show it right as well. */
import { renderUnicodeCompact } from "uqr";

const WHITE_ON_BLACK = "\x1b[97;40m";
const RESET = "\x1b[0m";

export function renderQr(text: string): string {
  const lines = renderUnicodeCompact(text, { ecc: "L", border: 2 }).split("\n");
  return `${lines.map(line => `${WHITE_ON_BLACK}${line}${RESET}`).join("\n")}\n`;
}
