/** The daemon's figures in Prometheus' text format, for `czctl metrics` and, where wanted, a port on loopback. */
import type { Server } from "node:http";
import type { DaemonStatus } from "../api/index.js";
import { addDataplane, Exposition, type Measured, serveMetrics } from "../telemetry/index.js";
import { type DaemonParts, daemonStatus } from "./daemon-status.js";

export class DaemonMetrics {
  readonly #parts: () => DaemonParts;
  #server: Server | undefined;

  constructor(parts: () => DaemonParts) {
    this.#parts = parts;
  }

  async text(): Promise<string> {
    const parts = this.#parts();
    const { catalogHeardAt } = parts.session;
    const ageMs = catalogHeardAt === null ? null : performance.now() - catalogHeardAt;
    return daemonMetrics(await daemonStatus(parts), ageMs);
  }

  /** On loopback only. Rejects when the port cannot be had. */
  async serve(port: number): Promise<void> {
    const measure = async (): Promise<Measured> => ({
      ready: this.#parts().session?.link === "connected",
      metrics: await this.text(),
    });
    this.#server = await serveMetrics({ port, address: "127.0.0.1" }, measure);
  }

  close(): void {
    this.#server?.close();
    this.#server?.closeAllConnections();
  }
}

/** @param catalogAgeMs since the agent was last heard on the catalog's stream; null before the first catalog */
export function daemonMetrics(status: DaemonStatus, catalogAgeMs: number | null): string {
  const { known, consumed, denied } = status.services;
  const to = new Exposition("czctl_daemon_");
  to.add("gauge", "build_info", "Always 1; its label is the version.", [[{ version: status.version }, 1]]);
  to.add("gauge", "connected", "Whether the agent tells its catalog.", status.link === "connected" ? 1 : 0);
  to.add("gauge", "services", "Services of the space.", [
    [{ state: "known" }, known],
    [{ state: "consumed" }, consumed],
    [{ state: "denied" }, denied],
  ]);
  to.add(
    "gauge",
    "catalog_age_seconds",
    "Since the agent was last heard on the catalog's stream; it speaks every 15 s.",
    catalogAgeMs === null ? [] : catalogAgeMs / 1000,
  );
  to.add("counter", "dataplane_restarts_total", "Data planes that died.", status.dataplaneRestarts);
  to.add("gauge", "warnings", "Warnings that `czctl status` shows.", status.warnings.length);
  addDataplane(to, status.dataplane, () => ({}));
  return to.toString();
}
