import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { Arena, parseEndpoint, writeEndpoint } from "../../src/base/index.js";
import {
  EAGAIN,
  ECONNREFUSED,
  ENETUNREACH,
  EPIPE,
  EPOLLERR,
  EPOLLHUP,
  EPOLLIN,
  EPOLLOUT,
  Poller,
  sockets,
  UdpSocket,
} from "../../src/linux/index.js";
import { enterNamespace } from "./in-namespace.js";

if (enterNamespace(t, import.meta.url)) {
  const arena = new Arena(1 << 20);
  const record = arena.reserve(20);
  const poller = new Poller(arena);
  const buffer = arena.reserve(65_536);

  const connect = (text: string): number => {
    writeEndpoint(arena.u8, record, parseEndpoint(text)!);
    return sockets.tcpConnect(arena, record);
  };
  const text = (length: number): string => Buffer.from(arena.u8.slice(buffer, buffer + length)).toString();
  const read = (fd: number): number => sockets.read(arena, fd, buffer, 65_536);
  const put = (value: string): number => {
    arena.u8.set(Buffer.from(value), buffer);
    return Buffer.byteLength(value);
  };
  /** The events that `fd` has now, waiting for one of them at most a second. */
  const events = (fd: number, wanted: number): number => {
    poller.add(fd, wanted);
    const found = poller.wait(1000) > 0 ? poller.eventsAt(0) : 0;
    poller.remove(fd);
    return found;
  };
  /** A listener of Node's, and the connections that it accepts. */
  const listen = async (t: Test, host: string): Promise<{ port: number; next(): Promise<Socket> }> => {
    const waiting: ((socket: Socket) => void)[] = [];
    const accepted: Socket[] = [];
    const server: Server = createServer({ allowHalfOpen: true }, socket => {
      const resolve = waiting.shift();
      if (resolve === undefined) accepted.push(socket);
      else resolve(socket);
    });
    await new Promise<void>(resolve => server.listen(0, host, resolve));
    t.teardown(() => server.close());
    const { port } = server.address() as { port: number };
    const next = (): Promise<Socket> => {
      const socket = accepted.shift();
      return socket ? Promise.resolve(socket) : new Promise(resolve => waiting.push(resolve));
    };
    return { port, next };
  };

  for (const host of ["127.0.0.1", "::1"]) {
    t.test(`TCP to ${host}: connect, both directions, half-close`, async t => {
      const listener = await listen(t, host);
      const fd = connect(host.includes(":") ? `[${host}]:${listener.port}` : `${host}:${listener.port}`);
      t.ok(fd > 0);
      t.equal(events(fd, EPOLLOUT), EPOLLOUT);
      t.equal(sockets.takeError(fd), 0);
      t.equal(read(fd), -EAGAIN);
      const peer = await listener.next();
      t.equal(sockets.write(arena, fd, buffer, put("hello")), 5);
      t.equal(`${await once(peer, "data")}`, "hello");
      t.equal(sockets.shutdownWrite(fd), 0);
      await once(peer, "end");
      t.equal(sockets.write(arena, fd, buffer, 1), -EPIPE);

      peer.end("still open the other way");
      t.equal(events(fd, EPOLLIN) & EPOLLIN, EPOLLIN);
      t.equal(text(read(fd)), "still open the other way");
      await once(peer, "close");
      t.equal(read(fd), 0);
      sockets.close(fd);
    });
  }

  t.test("TCP refused: at once or by event, never a success", async t => {
    const fd = connect("127.0.0.1:9");
    if (fd >= 0) {
      t.equal(events(fd, EPOLLOUT) & (EPOLLERR | EPOLLHUP), EPOLLERR | EPOLLHUP);
      t.equal(sockets.takeError(fd), ECONNREFUSED);
      t.equal(sockets.takeError(fd), 0, "an error is taken once");
      sockets.close(fd);
    } else t.equal(fd, -ECONNREFUSED);
  });

  t.test("TCP unreachable: no route", async t => {
    t.equal(connect("203.0.113.1:80"), -ENETUNREACH);
    t.equal(connect("[2001:db8::1]:80"), -ENETUNREACH);
  });

  t.test("abort sends RST, and drops what was not sent", async t => {
    const listener = await listen(t, "127.0.0.1");
    const fd = connect(`127.0.0.1:${listener.port}`);
    const peer = await listener.next();
    const broken = once(peer, "error");
    sockets.abort(fd);
    t.match(await broken, { code: "ECONNRESET" });
  });

  t.test("a peer's RST is ECONNRESET", async t => {
    const listener = await listen(t, "127.0.0.1");
    const fd = connect(`127.0.0.1:${listener.port}`);
    (await listener.next()).resetAndDestroy();
    t.equal(events(fd, EPOLLIN) & EPOLLERR, EPOLLERR);
    t.equal(read(fd), -constants.errno.ECONNRESET);
    sockets.close(fd);
  });

  t.test("a full send buffer is EAGAIN", async t => {
    const [a, b] = sockets.pair();
    let total = 0;
    let result = 0;
    do {
      result = sockets.write(arena, a, buffer, 4096);
      if (result > 0) total += result;
    } while (result > 0);
    t.equal(result, -EAGAIN);
    t.ok(total > 0 && total < 1 << 20, `${total} bytes`);
    sockets.close(a);
    sockets.close(b);
  });

  t.test("connected UDP: datagrams, and ICMP port unreachable as ECONNREFUSED", async t => {
    const server = UdpSocket.bind(arena, { port: 0, gro: false });
    writeEndpoint(arena.u8, record, parseEndpoint(`127.0.0.1:${server.port}`)!);
    const fd = sockets.udpConnect(arena, record);
    t.ok(fd > 0);
    t.equal(sockets.write(arena, fd, buffer, put("question")), 8);
    t.equal(server.receive(buffer + 100, 1000, record), 8);
    t.equal(server.send(buffer + 100, 0, 0, record), 0);
    t.equal(server.send(buffer, put("answer"), 6, record), 6);
    t.equal(sockets.read(arena, fd, buffer, 1000), 0, "an empty datagram");
    t.equal(sockets.read(arena, fd, buffer, 1000), 6);
    t.equal(text(6), "answer");
    t.equal(sockets.read(arena, fd, buffer, 1000), -EAGAIN);
    server.close();
    t.equal(sockets.write(arena, fd, buffer, 5), 5);
    t.equal(sockets.read(arena, fd, buffer, 1000), -ECONNREFUSED);
    sockets.close(fd);
  });

  t.test("Unix streams: listen with a mode, connect, accept, a stale file, a live one", async t => {
    const directory = mkdtempSync(join(tmpdir(), "czctl-socket-"));
    t.teardown(() => rmSync(directory, { recursive: true }));
    chmodSync(directory, 0o700);
    const path = join(directory, "s.sock");
    t.equal(sockets.unixConnect(path), -2, "ENOENT");
    const listener = sockets.unixListen(path, 0o600);
    t.equal(statSync(path).mode & 0o777, 0o600);
    t.equal(sockets.accept(listener), -EAGAIN);
    const client = sockets.unixConnect(path);
    t.ok(client > 0);
    t.equal(events(listener, EPOLLIN), EPOLLIN);
    const server = sockets.accept(listener);
    sockets.writeText(client, '{"peer":"ü"}\n');
    t.equal(text(read(server)), '{"peer":"ü"}\n');
    sockets.close(client);
    t.equal(read(server), 0);
    sockets.close(server);

    t.throws(() => sockets.unixListen(path, 0o600), { code: "ADDRESS_IN_USE", category: "environment" });
    sockets.close(listener);
    t.equal(sockets.unixConnect(path), -ECONNREFUSED, "the file outlives its listener");
    sockets.close(sockets.unixListen(path, 0o600));

    const file = join(directory, "file");
    writeFileSync(file, "precious");
    t.throws(() => sockets.unixListen(file, 0o600), { code: "ADDRESS_IN_USE" });
    t.equal(statSync(file).size, 8, "what is no socket is not removed");
    t.throws(() => sockets.unixListen(join(directory, "x".repeat(120)), 0o600), {
      code: "SOCKET_PATH_INVALID",
      category: "config",
    });
  });
}

function once(socket: Socket, event: string): Promise<unknown> {
  return new Promise(resolve => socket.once(event, resolve));
}
