/**
 * Tells when a file may have changed, however that is done: written in place, replaced by rename (editors,
 * atomic writers), or a symbolic link moved (Kubernetes volumes). No polling: inotify on the file and on the
 * directories that hold its name and its content.
 */
import { type FSWatcher, lstatSync, realpathSync, watch } from "node:fs";
import { basename, dirname } from "node:path";
import { CzctlError } from "../base/index.js";

/** A writer is usually done after so long; later events are a change of their own. */
const SETTLE_MS = 50;
const RETRY_MS = 1_000;

export class FileWatch {
  readonly #path: string;
  readonly #onChange: () => void;
  #watchers: FSWatcher[] = [];
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;

  /** @param onChange reads the file and compares: it may be called when nothing has changed */
  constructor(path: string, onChange: () => void) {
    this.#path = path;
    this.#onChange = onChange;
    this.#arm();
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#disarm();
  }

  #arm(): void {
    const name = basename(this.#path);
    this.#watch(dirname(this.#path), changed => this.#isLink() || changed === null || changed === name);
    try {
      const real = realpathSync(this.#path);
      if (dirname(real) !== dirname(this.#path)) this.#watch(dirname(real), () => true);
      this.#watch(real, () => true);
    } catch (error) {
      // Absent just now: the directory tells when it is back.
      if (error instanceof CzctlError) throw error;
    }
  }

  #disarm(): void {
    for (const watcher of this.#watchers) watcher.close();
    this.#watchers = [];
  }

  #watch(path: string, concerns: (changed: string | null) => boolean): void {
    try {
      const watcher = watch(path, { persistent: false }, (_event, changed) => {
        if (concerns(changed)) this.#touched();
      });
      watcher.on("error", () => this.#touched(RETRY_MS));
      this.#watchers.push(watcher);
    } catch (cause) {
      const { code, message } = cause as NodeJS.ErrnoException;
      if (code === "ENOENT") return;
      throw new CzctlError(`cannot watch ${path}: ${message}`, {
        code: "FILE_WATCH_FAILED",
        category: "environment",
        hint: "Raise the limits fs.inotify.max_user_watches and max_user_instances.",
        cause,
      });
    }
  }

  #touched(delayMs: number = SETTLE_MS): void {
    if (this.#stopped || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      // The inode or the link's target may be another one now. Armed before read: no change is missed.
      this.#disarm();
      try {
        this.#arm();
      } catch {
        // Somebody has used up the watches since we started.
        this.#touched(RETRY_MS);
      }
      this.#onChange();
    }, delayMs);
  }

  #isLink(): boolean {
    try {
      return lstatSync(this.#path).isSymbolicLink();
    } catch {
      return false;
    }
  }
}
