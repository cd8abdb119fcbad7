/** A listening Unix socket in the loop. */
import { EPOLLIN, sockets } from "../linux/index.js";
import type { Context } from "./context.js";
import type { Source } from "./loop.js";

/** Takes each accepted, non-blocking descriptor. */
export interface Acceptor {
  accept(fd: number): void;
}

export class UnixListener implements Source {
  private readonly fd: number;
  private readonly acceptor: Acceptor;

  /** Only this user may connect. Throws CzctlError when `path` cannot be bound. */
  constructor(context: Context, path: string, acceptor: Acceptor) {
    this.fd = sockets.unixListen(path, 0o600);
    this.acceptor = acceptor;
    context.loop.add(this.fd, EPOLLIN, this);
  }

  onReady(): void {
    for (let fd = sockets.accept(this.fd); fd >= 0; fd = sockets.accept(this.fd)) this.acceptor.accept(fd);
  }
}
