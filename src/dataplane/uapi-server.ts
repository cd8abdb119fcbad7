/** Answers `wg show`, `wg showconf` and `wg set` on the interface's UAPI socket (root's alone). */
import {
  applySet,
  type Device,
  ERRNO_INVALID,
  errnoLine,
  type Peer,
  parseSet,
  removedBy,
  renderGet,
} from "../wireguard/index.js";
import type { Context } from "./context.js";
import { LineChannel, type LineUser } from "./line-channel.js";
import type { Acceptor } from "./listener.js";

const EOPNOTSUPP = -95;
/** A request of this many lines is no request. */
const LINES_MAX = 200_000;

export interface UapiOwner {
  readonly device: Device;
  readonly listenPort: number;
  /** Ends a peer's flows before the device forgets it. */
  dropPeer(peer: Peer): void;
  /** Peers were added or changed. */
  adoptPeers(): void;
}

export class UapiServer implements Acceptor {
  private readonly context: Context;
  private readonly buffer: number;
  private readonly owner: UapiOwner;

  /** @param buffer as for `LineChannel` */
  constructor(context: Context, buffer: number, owner: UapiOwner) {
    this.context = context;
    this.buffer = buffer;
    this.owner = owner;
  }

  accept(fd: number): void {
    new UapiConnection(this.context, fd, this.buffer, this.owner);
  }
}

/** Requests one after the other, each ended by an empty line. */
class UapiConnection implements LineUser {
  private readonly context: Context;
  private readonly owner: UapiOwner;
  private readonly channel: LineChannel;
  private lines: string[] = [];

  constructor(context: Context, fd: number, buffer: number, owner: UapiOwner) {
    this.context = context;
    this.owner = owner;
    this.channel = new LineChannel(context, fd, buffer, this);
  }

  onLine(line: string): void {
    if (line !== "") {
      if (this.lines.push(line) > LINES_MAX) this.channel.close();
      return;
    }
    const [operation, ...rest] = this.lines;
    this.lines = [];
    if (operation === "get=1") {
      this.channel.write(renderGet(this.owner.device, { listenPort: this.owner.listenPort, fwmark: 0 }));
    } else {
      this.channel.write(errnoLine(operation === "set=1" ? this.set(rest) : ERRNO_INVALID));
    }
  }

  onEnd(): void {}

  private set(lines: readonly string[]): number {
    const { owner } = this;
    const request = parseSet(lines.join("\n"));
    if (request === null) return ERRNO_INVALID;
    const otherPort = request.listenPort !== undefined && request.listenPort !== owner.listenPort;
    if (otherPort || (request.fwmark ?? 0) !== 0) return EOPNOTSUPP;
    for (const peer of removedBy(owner.device, request)) owner.dropPeer(peer);
    applySet(owner.device, request, this.context.loop.now);
    owner.adoptPeers();
    return 0;
  }
}
