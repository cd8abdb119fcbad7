/** The DNS responder's sockets. */
import type { Zone } from "./zone.js";

export interface ResponderAddress {
  address: string;
  /** 0 for any. */
  port: number;
}

export class DnsResponder {
  start(_options: ResponderAddress): Promise<{ udpPort: number; tcpPort: number }> {
    throw new Error("not written yet");
  }
  /** What is answered from now on; before the first call every question is SERVFAIL. */
  setZone(_zone: Zone): void {}
  async close(): Promise<void> {}
}
