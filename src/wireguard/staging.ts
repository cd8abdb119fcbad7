/** Packets that wait for a session: bounded, oldest dropped first (paper §6.2: "queued"). */
export const MAX_STAGED_PACKETS = 64;
export const MAX_STAGED_BYTES: number = 128 * 1024;

export class StagingQueue {
  private packets: Uint8Array[] = [];
  private bytes = 0;

  get length(): number {
    return this.packets.length;
  }

  /** Copies the packet; returns how many older ones had to go. */
  push(source: Uint8Array, offset: number, length: number): number {
    this.packets.push(source.slice(offset, offset + length));
    this.bytes += length;
    let dropped = 0;
    while (this.packets.length > MAX_STAGED_PACKETS || this.bytes > MAX_STAGED_BYTES) {
      this.bytes -= (this.packets.shift() as Uint8Array).length;
      dropped++;
    }
    return dropped;
  }

  /** All packets, oldest first; the queue is empty then. */
  take(): readonly Uint8Array[] {
    const taken = this.packets;
    this.packets = [];
    this.bytes = 0;
    return taken;
  }
}
