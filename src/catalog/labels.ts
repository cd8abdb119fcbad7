/**
 * The names that Kubernetes allows, which are also all the names that may reach a hosts file or a zone: the
 * check that keeps a hostile catalog from writing lines of its own.
 */

/**
 * RFC 1123 §2.1 as Kubernetes reads it: lower case, at most 63 characters. Service names were RFC 1035
 * labels (no leading digit) until Kubernetes 1.34 relaxed them to this.
 */
export function isLabel(text: string): boolean {
  return text.length <= 63 && /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(text);
}

/** Labels joined by dots, at most 253 characters, no dot at the end. */
export function isDnsName(text: string): boolean {
  return text.length > 0 && text.length <= 253 && text.split(".").every(isLabel);
}

export function isPort(value: unknown): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 1 && value <= 65535;
}
