/** Unix socket files: whether somebody serves one, and removing one. */
import { lstatSync, unlinkSync } from "node:fs";
import { connect } from "node:net";
import { CzctlError } from "../base/index.js";

export function isListening(path: string): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

/** Removes the socket; none is as good. What is no socket is not ours to remove: throws CzctlError. */
export function removeSocket(path: string): void {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new CzctlError(`${path} is there already, and no socket`, {
      code: "SOCKET_UNUSABLE",
      category: "environment",
      hint: "Choose another path with --socket.",
    });
  }
  unlinkSync(path);
}
