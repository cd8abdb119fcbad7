/**
 * The catalog from a YAML file, watched for changes. A file with an error is refused as a whole: at the start
 * that ends the run, later the last good catalog stands and one line says where the error is.
 */
import { readFile } from "node:fs/promises";
import { CzctlError, type Logger } from "../../base/index.js";
import { parseServicesFile, type SourceService } from "../../catalog/index.js";
import { FileWatch } from "../file-watch.js";
import type { ForbiddenAddresses } from "../forbidden.js";
import { refusals } from "../target-addresses.js";
import type { Discovery } from "./discovery.js";

export class StaticFileDiscovery implements Discovery {
  readonly #path: string;
  readonly #forbidden: ForbiddenAddresses;
  readonly #log: Logger;
  #watch: FileWatch | undefined;
  /** The one load under way, and those behind it. */
  #work: Promise<void> = Promise.resolve();
  staleSince: number | null = null;
  #stopped = false;
  #text: string | null = null;
  #lastProblem = "";

  constructor(path: string, forbidden: ForbiddenAddresses, log: Logger) {
    this.#path = path;
    this.#forbidden = forbidden;
    this.#log = log;
  }

  async start(onCatalog: (services: readonly SourceService[]) => void): Promise<void> {
    // Watched before read, so that no change falls between the two.
    this.#watch = new FileWatch(this.#path, () => {
      this.#work = this.#work.then(() => this.#reload(onCatalog));
    });
    const first = this.#load(onCatalog);
    this.#work = first.catch(() => {});
    try {
      await first;
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  stop(): void {
    this.#watch?.stop();
    this.#stopped = true;
  }

  async #load(onCatalog: (services: readonly SourceService[]) => void): Promise<void> {
    const text = await this.#read();
    if (this.#stopped || text === this.#text) return;
    const services = this.#parse(text);
    this.#text = text;
    onCatalog(services);
  }

  async #reload(onCatalog: (services: readonly SourceService[]) => void): Promise<void> {
    try {
      await this.#load(onCatalog);
      this.#lastProblem = "";
      this.staleSince = null;
    } catch (error) {
      const problem = (error as Error).message;
      // One edit may be several events.
      if (problem !== this.#lastProblem) this.#log.error(`${problem}; the last good catalog stands`);
      this.#lastProblem = problem;
      this.staleSince ??= Date.now();
    }
  }

  async #read(): Promise<string> {
    try {
      return await readFile(this.#path, "utf8");
    } catch (cause) {
      throw new CzctlError(`cannot read the catalog: ${(cause as Error).message}`, {
        code: "CATALOG_UNREADABLE",
        category: "config",
        hint: "Give the path of a services file: --catalog services.yaml",
        cause,
      });
    }
  }

  #parse(text: string): SourceService[] {
    const { services, errors } = parseServicesFile(text);
    const first = errors[0];
    if (first !== undefined) throw this.#invalid(first.line, first.message, errors.length);
    const refused = services.flatMap(service => refusals(service, this.#forbidden));
    const worst = refused[0];
    if (worst !== undefined) {
      throw this.#invalid(lineOf(text, worst.address), worst.message, refused.length);
    }
    return services;
  }

  #invalid(line: number | null, message: string, count: number): CzctlError {
    const place = line === null ? this.#path : `${this.#path}:${line}`;
    const more = count > 1 ? ` (and ${count - 1} more)` : "";
    return new CzctlError(`${place}: ${message}${more}`, {
      code: "CATALOG_INVALID",
      category: "config",
      hint: "Mend the file; docs/catalog-file.md describes it.",
    });
  }
}

/** Where the file names `address`, unless it spells it in another way. */
function lineOf(text: string, address: string): number | null {
  const index = text.split("\n").findIndex(line => line.includes(address));
  return index === -1 ? null : index + 1;
}
