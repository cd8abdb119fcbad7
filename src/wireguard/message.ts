/**
 * The four messages on the wire (paper §5.4), as byte positions. Integers are little endian.
 *
 * ```
 *  initiation  type│sender│ephemeral 32│static 32+16│timestamp 12+16│mac1 16│mac2 16    = 148
 *  response    type│sender│receiver│ephemeral 32│empty 0+16│mac1 16│mac2 16            =  92
 *  cookie      type│receiver│nonce 24│cookie 16+16                                     =  64
 *  transport   type│receiver│counter 8│content…+16                                     ≥  32
 * ```
 */
export const SENDER_AT = 4;

export const INITIATION_EPHEMERAL_AT = 8;
export const INITIATION_STATIC_AT = 40;
export const INITIATION_TIMESTAMP_AT = 88;

export const RESPONSE_RECEIVER_AT = 8;
export const RESPONSE_EPHEMERAL_AT = 12;
export const RESPONSE_EMPTY_AT = 44;

export const COOKIE_RECEIVER_AT = 4;
export const COOKIE_NONCE_AT = 8;
export const COOKIE_SEALED_AT = 32;

export const TRANSPORT_RECEIVER_AT = 4;
export const TRANSPORT_COUNTER_AT = 8;

/** Both MACs end the initiation and the response. */
export const MACS_BYTES = 32;
export const MAC_BYTES = 16;

export function readInt32(bytes: Uint8Array, at: number): number {
  return (
    (bytes[at] as number) |
    ((bytes[at + 1] as number) << 8) |
    ((bytes[at + 2] as number) << 16) |
    ((bytes[at + 3] as number) << 24)
  );
}

export function writeInt32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}
