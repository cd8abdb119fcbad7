/**
 * What WireGuard asks of a crypto library. `crypto/` implements it twice (fast and plain); `wireguard/` is
 * given one of them and never knows which.
 */

/**
 * One direction's ChaCha20-Poly1305 key (RFC 8439), working on the packet arena. Packets are collected and worked on
 * together: what is asked for here is done when `runSeals` or `runOpens` of the suite returns, and may be done before.
 * Until then a packet's bytes and its tag are nobody's to change. Of its neighbours, 64 bytes before and 32 behind are used
 * while the work is done, and put back.
 */
export interface AeadKey {
  /**
   * Encrypts arena bytes [offset, offset + length) in place and writes the 16-byte tag right after them.
   * The nonce is 32 zero bits and `counter` as 64 bits little endian; no associated data.
   * @param counter below 2^53
   * @param rest of a packet in two pieces (`pieces.ts`), where the second one lies; it stays there as it is, and is nobody's
   *   to change before `runSeals` returns. Absent: behind the first one
   */
  seal(offset: number, length: number, counter: number, rest?: number): void;
  /**
   * Decrypts [offset, offset + length) when the tag after it is right. What the bytes given then hold is undefined.
   * @param length does not count the tag
   * @returns what to ask `CryptoSuite.opened` with, or −1 when the batch is full
   */
  open(offset: number, length: number, counter: number): number;
  /**
   * As `seal`, of `count` packets of equal length, 64 at most: each is `stride` bytes after the one before, its second piece
   * `restStride` bytes, and its counter the next.
   */
  sealAlike(
    count: number,
    offset: number,
    stride: number,
    length: number,
    counter: number,
    rest: number,
    restStride: number,
  ): void;
  /**
   * As `open`, of `count` packets likewise. Their plaintexts are at equal distances, too.
   * @returns the ticket of the first one, the others' follow; or −1 when the batch has no room for all of them. An empty
   *   one has for what a system call gives: 64 packets, 65,536 bytes
   */
  openAlike(count: number, offset: number, stride: number, length: number, counter: number): number;
  /** Wipes the key, when what was asked of it is done; any later call throws. */
  destroy(): void;
}

/** Curve25519, BLAKE2s and the AEADs of the handshake. Byte arrays are the caller's; results are new. */
export interface CryptoSuite {
  /** Which implementation: shown by `czctl status --verbose`. */
  readonly name: string;
  /** @param key 32 bytes; copied */
  createAeadKey(key: Uint8Array): AeadKey;
  /** Every packet that a key of this suite was to seal is sealed. */
  runSeals(): void;
  /** Every packet that one was to open is opened or refused. The next `open` begins another batch. */
  runOpens(): void;
  /**
   * Of a packet of the batch that `runOpens` ended: arena offset of the plaintext, which may be elsewhere than the packet was
   * and is valid until the next `open`; or −1 when the tag was wrong.
   */
  opened(ticket: number): number;
  /** Of `most` packets of one `openAlike`, from the one of `ticket` on, how many had the right tag: up to the first that had not. */
  countOpened(ticket: number, most: number): number;
  /** RFC 8439 AEAD for handshake fields: ciphertext with the 16-byte tag. `nonce` has 12 bytes. */
  aeadSeal(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, associated: Uint8Array): Uint8Array;
  /** The plaintext, or null when the tag is wrong. */
  aeadOpen(
    key: Uint8Array,
    nonce: Uint8Array,
    ciphertext: Uint8Array,
    associated: Uint8Array,
  ): Uint8Array | null;
  /** XChaCha20-Poly1305 with a 24-byte nonce: cookies. */
  xaeadSeal(key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, associated: Uint8Array): Uint8Array;
  xaeadOpen(
    key: Uint8Array,
    nonce: Uint8Array,
    ciphertext: Uint8Array,
    associated: Uint8Array,
  ): Uint8Array | null;
  /** RFC 7748 X25519, or null when the result is all zero (a low-order point). */
  x25519(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | null;
  /** The public key of a private key. */
  x25519PublicKey(privateKey: Uint8Array): Uint8Array;
  /** RFC 7693 BLAKE2s over the concatenated parts. `key` for the keyed mode, `bytes` 1..32 (default 32). */
  blake2s(parts: readonly Uint8Array[], options?: { key?: Uint8Array; bytes?: number }): Uint8Array;
  /** HMAC-BLAKE2s (the paper's HMAC, not the keyed mode). */
  hmac(key: Uint8Array, parts: readonly Uint8Array[]): Uint8Array;
}
