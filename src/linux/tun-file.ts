/**
 * `/dev/net/tun`, opened and not yet a device: needs no FFI, so a child can inherit the descriptor before the parent
 * has loaded what makes a device of it (`openTun`).
 */
import { constants, openSync } from "node:fs";
import { type SystemCause, systemError } from "./errors.js";

const { O_NONBLOCK, O_RDWR } = constants;
const DOING = "open /dev/net/tun";

/** Non-blocking, closed on exec. Throws CzctlError. */
export function openTunFile(): number {
  try {
    return openSync("/dev/net/tun", O_RDWR | O_NONBLOCK);
  } catch (error) {
    const { code, errno } = error as SystemCause;
    if (code !== "ENOENT" && code !== "ENXIO") throw systemError(DOING, "open", errno);
    throw systemError(DOING, "open", errno, {
      code: "TUN_UNAVAILABLE",
      hint: "Load the kernel module (sudo modprobe tun), or give the container the device /dev/net/tun.",
    });
  }
}
