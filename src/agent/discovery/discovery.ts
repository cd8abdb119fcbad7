/**
 * Where the catalog comes from. Whatever the source, it tells the whole catalog each time something in it has
 * changed; finding out what that means for each device is the agent's business.
 */
import type { SourceService } from "../../catalog/index.js";

export interface Discovery {
  /**
   * Resolves when the first catalog has been given to `onCatalog`; throws CzctlError when there is none. From
   * then on trouble is logged, and the last good catalog stands.
   */
  start(onCatalog: (services: readonly SourceService[]) => void): Promise<void>;
  /** Since when (ms since the epoch) the source cannot be followed or understood; null while it can. */
  readonly staleSince: number | null;
  stop(): void;
}

/** `agent run` without a catalog: devices connect and see nothing. */
export class NoDiscovery implements Discovery {
  readonly staleSince = null;

  async start(onCatalog: (services: readonly SourceService[]) => void): Promise<void> {
    onCatalog([]);
  }

  stop(): void {}
}
