/**
 * What the privilege tests run in processes of their own. The first argument says what; the answer is one line
 * of JSON on standard output.
 */
import { readFileSync } from "node:fs";
import { Arena } from "../../../src/base/index.js";
import {
  dropPrivileges,
  hasNetAdmin,
  openTun,
  setNonBlocking,
  setParentDeathSignal,
  sockets,
} from "../../../src/linux/index.js";

const [what = "", ...rest] = process.argv.slice(2);
const answer = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);

switch (what) {
  case "drop": {
    const user = rest.length > 0 ? { uid: Number(rest[0]), gid: Number(rest[1]) } : undefined;
    const result = dropPrivileges(user);
    const status = readFileSync("/proc/thread-self/status", "latin1");
    const fields = Object.fromEntries(
      status.split("\n").map(line => {
        const [key = "", value = ""] = line.split(":");
        return [key, value.trim().replaceAll("\t", " ")];
      }),
    );
    answer({ result, fields, netAdmin: hasNetAdmin() });
    break;
  }
  case "tun":
    try {
      openTun({ name: "czctl%d", tso: true });
      answer("opened");
    } catch (error) {
      answer(error);
    }
    break;
  case "follow":
    // Dies with its parent, also after a change of credentials.
    setParentDeathSignal("SIGKILL");
    dropPrivileges({ uid: Number(rest[0]), gid: Number(rest[0]) });
    answer("following");
    setInterval(() => {}, 1000);
    break;
  case "echo": {
    const fd = Number(rest[0]);
    const arena = new Arena(4096);
    const result = setNonBlocking(fd);
    const length = sockets.read(arena, fd, 0, 100);
    answer({ result, wrote: sockets.write(arena, fd, 0, length), next: sockets.read(arena, fd, 0, 100) });
    break;
  }
  default:
    throw new Error(`unknown: ${what}`);
}
