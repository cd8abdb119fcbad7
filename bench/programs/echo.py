"""Blocking sockets at both ends, so that nothing but the path is measured.

echo.py serve ADDRESS PORT          echoes; a thread per connection
echo.py many ADDRESS PORT           echoes; one thread for thousands of connections
echo.py trips ADDRESS PORT SECONDS  one byte there and back, again and again: {"us": [p50, p99, p99.9]}
echo.py connects ADDRESS PORT SECONDS  connect, close, again and again, 8 at a time: {"perSecond": n}
echo.py hold ADDRESS PORT COUNT     opens COUNT connections, says "held", keeps them
echo.py active ADDRESS PORT SECONDS opens 1,000 connections, says "held", then sends two messages of 100 bytes a
                                    second on each: {"us": [p50, p99]}
"""
import json
import resource
import selectors
import socket
import struct
import sys
import threading
import time

mode, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
WARM_UP_TRIPS = 200
ACTIVE_FLOWS = 1000
MESSAGE_SECONDS = 0.5
MESSAGE = b"x" * 100
CONNECTORS = 8
# Closing with a reset leaves no port in TIME-WAIT, of which there are only 28,000.
RESET = struct.pack("ii", 1, 0)


def connect():
    connection = socket.create_connection((address, port), 20)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def echo(connection):
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        while data := connection.recv(65536):
            connection.sendall(data)
    except OSError:
        pass
    connection.close()


def serve():
    server = socket.create_server((address, port), backlog=4096)
    threading.stack_size(65536)
    while True:
        threading.Thread(target=echo, args=(server.accept()[0],), daemon=True).start()


def many():
    server = socket.create_server((address, port), backlog=4096)
    ready = selectors.DefaultSelector()
    ready.register(server, selectors.EVENT_READ)
    while True:
        for key, _ in ready.select():
            if key.fileobj is server:
                ready.register(server.accept()[0], selectors.EVENT_READ)
                continue
            try:
                data = key.fileobj.recv(65536)
                key.fileobj.sendall(data)
            except OSError:
                data = b""
            if not data:
                ready.unregister(key.fileobj)
                key.fileobj.close()


def trips(seconds):
    connection = connect()
    now = time.perf_counter_ns
    took = []
    end = now() + int(seconds * 1e9)
    while (start := now()) < end:
        connection.send(b"x")
        connection.recv(1)
        took.append(now() - start)
    took = sorted(took[min(WARM_UP_TRIPS, len(took) // 4):])
    at = lambda share: took[min(len(took) - 1, int(len(took) * share))] / 1000
    return {"us": [at(0.5), at(0.99), at(0.999)]}


def connects(seconds):
    counts = [0] * CONNECTORS
    start = time.monotonic()

    def connector(i):
        while time.monotonic() - start < seconds:
            connection = connect()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            connection.close()
            counts[i] += 1

    threads = [threading.Thread(target=connector, args=(i,)) for i in range(CONNECTORS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"perSecond": sum(counts) / (time.monotonic() - start)}


def active(seconds):
    """The flows speak one after the other, evenly spread; an answer still out delays the flow's next message."""
    flows = [connect() for _ in range(ACTIVE_FLOWS)]
    ready = selectors.DefaultSelector()
    sent = {}
    for flow in flows:
        flow.setblocking(False)
        ready.register(flow, selectors.EVENT_READ)
    print("held", flush=True)
    took = []
    start = time.perf_counter()
    turn = 0
    while (now := time.perf_counter()) - start < seconds:
        while start + turn * MESSAGE_SECONDS / ACTIVE_FLOWS <= now:
            flow = flows[turn % ACTIVE_FLOWS]
            turn += 1
            if flow not in sent:
                sent[flow] = [time.perf_counter(), 0]
                flow.send(MESSAGE)
        for key, _ in ready.select(0.0002):
            started = sent[key.fileobj]
            started[1] += len(key.fileobj.recv(65536))
            if started[1] == len(MESSAGE):
                took.append(time.perf_counter() - started[0])
                del sent[key.fileobj]
    took.sort()
    return {"us": [took[int(len(took) * share)] * 1e6 for share in (0.5, 0.99)]}


def hold(count):
    held = [connect() for _ in range(count)]
    for connection in held:
        connection.sendall(b"x")
    for connection in held:
        connection.recv(1)
    print("held", flush=True)
    time.sleep(3600)


most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
if mode == "serve":
    serve()
elif mode == "many":
    many()
elif mode == "hold":
    hold(int(sys.argv[4]))
else:
    print(json.dumps({"trips": trips, "connects": connects, "active": active}[mode](float(sys.argv[4]))))
