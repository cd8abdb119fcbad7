/** One peer of a device: who it is, where it is, its sessions and its figures. */
import type { Milliseconds, Prefix } from "../base/index.js";

export class Peer {
  readonly publicKey: Uint8Array = new Uint8Array(32);
  /** Where to send: 20 bytes as in base/endpoint; family 0 while unknown. Read only for others. */
  readonly endpoint: Uint8Array = new Uint8Array(20);
  /** Increases whenever `endpoint` changes, so that a sender can cache what it derives from it. */
  endpointVersion = 0;
  allowedIps: readonly Prefix[] = [];
  persistentKeepaliveSeconds = 0;
  /** UDP payload bytes, as `wg show` counts them. */
  rxBytes = 0;
  txBytes = 0;
  /** Milliseconds since the epoch; 0 for never. */
  lastHandshakeAt = 0;
  /** Initiation to response of the last handshake that we initiated; 0 while unknown. */
  rttMs = 0;
  /** The owner's: what stands behind this peer (its link in the data plane). */
  context: unknown = null;

  get hasEndpoint(): boolean {
    return this.endpoint[0] !== 0;
  }

  /** Starts a handshake unless one was started less than REKEY_TIMEOUT ago. */
  initiate(_now: Milliseconds): void {}
}
