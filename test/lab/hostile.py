#!/usr/bin/python3
"""Raw packets out of a tunnel device, and what comes back to it.

usage: hostile.py DEVICE, cases as JSON on standard input: [{"name", "src", "dst", "kind", "port"}]
Prints {"name": [answer, ...]}: every packet that the device received in the half second after each case.
"""
import json
import socket
import struct
import sys
import time

LISTEN_S = 0.5
PROTOCOLS = {"syn": 6, "ack": 6, "rst": 6, "fragment": 17, "udp": 17, "ping": 1, "sctp": 132, "esp": 50, "ipip": 4}


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def tcp(src, dst, port, flags):
    segment = struct.pack("!HHIIBBHHH", 40000, port, 1000, 0, 5 << 4, flags, 65535, 0, 0)
    pseudo = src + dst + struct.pack("!BBH", 0, 6, len(segment))
    return segment[:16] + struct.pack("!H", checksum(pseudo + segment)) + segment[18:]


def udp(src, dst, port, data=b"hello"):
    datagram = struct.pack("!HHHH", 40000, port, 8 + len(data), 0) + data
    pseudo = src + dst + struct.pack("!BBH", 0, 17, len(datagram))
    return datagram[:6] + struct.pack("!H", checksum(pseudo + datagram) or 0xFFFF) + datagram[8:]


def payload(case, src, dst):
    kind, port = case["kind"], case.get("port", 0)
    if kind in ("syn", "ack", "rst"):
        return tcp(src, dst, port, {"syn": 0x02, "ack": 0x10, "rst": 0x04}[kind])
    if kind in ("udp", "fragment"):
        return udp(src, dst, port)
    if kind == "ping":
        echo = struct.pack("!BBHHH", 8, 0, 0, 7, 1) + b"czctl"
        return echo[:2] + struct.pack("!H", checksum(echo)) + echo[4:]
    if kind == "ipip":
        return ip4(src, dst, 6, tcp(src, dst, port, 0x02))
    return b"\0" * 32


def ip4(src, dst, protocol, data, offset=0):
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(data), 1, offset, 64, protocol, 0) + src + dst
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + data


def packet(case):
    src, dst = socket.inet_aton(case["src"]), socket.inet_aton(case["dst"])
    # "fragment": the first of two, whose second never comes.
    offset = 0x2000 if case["kind"] == "fragment" else 0
    return ip4(src, dst, PROTOCOLS[case["kind"]], payload(case, src, dst), offset)


def describe(data):
    protocol, src = data[9], socket.inet_ntoa(data[12:16])
    body = data[(data[0] & 15) * 4:]
    if protocol == 6:
        flags = "".join(name for bit, name in enumerate("FSRPA") if body[13] >> bit & 1)
        return "tcp %s %s" % (flags, src)
    if protocol == 1:
        return "icmp %d/%d %s" % (body[0], body[1], src)
    return "protocol %d %s" % (protocol, src)


def main():
    device = sys.argv[1]
    # An own socket per direction: what we send ourselves shows up with PACKET_OUTGOING.
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
    wire.bind((device, 0x0800))
    answers = {}
    for case in json.load(sys.stdin):
        wire.sendto(packet(case), (device, 0x0800))
        received, deadline = [], time.monotonic() + LISTEN_S
        while (left := deadline - time.monotonic()) > 0:
            wire.settimeout(left)
            try:
                data, origin = wire.recvfrom(65535)
            except TimeoutError:
                break
            if origin[2] != socket.PACKET_OUTGOING and len(data) >= 20:
                received.append(describe(data))
        answers[case["name"]] = received
    print(json.dumps(answers))


main()
