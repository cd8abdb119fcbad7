/** Everything that was dropped, by reason, and what else `czctl status --verbose` shows. Plain numbers. */
export class Counters {
  packetsIn = 0;
  packetsOut = 0;
}
