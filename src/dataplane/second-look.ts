/**
 * Whether a source that has taken a packet should ask for another in the same turn. A system call that finds nothing takes
 * as long as one that does, and where packets come singly, as requests and answers do, what the packet asks for waits for
 * it. So only who was ready in the turn before as well looks again: whatever is left behind brings that about.
 */
export class SecondLook {
  private lastTurn = -1;

  /** @param turn number of the turn in which the source is ready now */
  isWorthwhile(turn: number): boolean {
    const worthwhile = turn - this.lastTurn <= 1;
    this.lastTurn = turn;
    return worthwhile;
  }
}
