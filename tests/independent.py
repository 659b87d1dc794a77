"""A commander written from protocol.md alone: it shares no line with umi_cli.

It talks like the field client (RESYNC, sequences 1..15, RESYNC again) to whatever stands behind
two callables, and knows scheme 0 of READ_OBJECT, READ_OBJECT_PART and WRITE_OBJECT.
"""

import struct
from collections.abc import Callable, Iterator

REVERSED = [sum((byte >> bit & 1) << (7 - bit) for bit in range(8)) for byte in range(256)]
EVERYONE = 0xFFFF_FFFF_FFFF_FFFF
READER = 0x0023_7EFE_0000_0004


def remainder(byte: int) -> int:
    register = byte << 8
    for _ in range(8):
        register = (register << 1) ^ (0x1021 if register & 0x8000 else 0)
    return register & 0xFFFF


REMAINDERS = [remainder(byte) for byte in range(256)]


def checksum(data: bytes) -> bytes:
    register = 0
    for byte in data:
        register = (register << 8 & 0xFFFF) ^ REMAINDERS[register >> 8 ^ REVERSED[byte]]
    return struct.pack("<H", register)


class NoAnswer(Exception):
    """Three attempts, and nothing."""


class Refused(Exception):
    """A link ERROR, a fragment ERROR or a result code: `args` are its kind and its number."""


class IndependentReader:
    """A commander behind two callables.

    Args:
        send: takes the bytes of one frame.
        receive: returns bytes that came, or none after its timeout.
    """

    def __init__(self, send: Callable[[bytes], None], receive: Callable[[], bytes]) -> None:
        self.send, self.receive = send, receive
        self.own, self.peer, self.sequence = 0, 0, 15
        self.transaction = 0
        self.resyncs = 0

    # Link layer, protocol 2

    def ask(self, kind: int, payload: bytes, sequence: int, due: int) -> tuple[int, int, bytes]:
        """Send a frame until an answer under `due` comes; return type, addresses, payload."""
        head = bytes([sequence << 4 | 1, kind, len(payload), self.peer << 4 | self.own])
        for _ in range(3):
            self.send(head + payload + checksum(head + payload))
            for frame in self.frames():
                if frame[0] == sequence << 4 | 1 and frame[1] & 15 == 15:
                    raise Refused("link", frame[4])
                if frame[0] == due << 4 | 1:
                    return frame[1] & 15, frame[3], frame[4:-2]
        raise NoAnswer

    def frames(self) -> Iterator[bytes]:
        data = b""
        while chunk := self.receive():
            data += chunk
            while len(data) > 2 and len(data) >= data[2] + 6:
                frame, data = data[: data[2] + 6], data[data[2] + 6 :]
                if checksum(frame[:-2]) == frame[-2:]:
                    yield frame

    def resync(self) -> None:
        kind, addresses, _ = self.ask(4, b"", 0, 0)
        assert kind == 5
        self.own, self.peer, self.sequence = addresses >> 4, addresses & 15, 0
        self.resyncs += 1

    def command_frame(self, kind: int, payload: bytes) -> tuple[int, bytes]:
        self.sequence = self.sequence % 15 + 1
        kind, _, payload = self.ask(kind, payload, self.sequence, self.sequence)
        return kind, payload

    def exchange(self, packet: bytes) -> bytes:
        """Command one packet; return the packet that answers it."""
        pieces = [packet[at : at + 244] for at in range(0, len(packet), 244)]
        is_long = len(packet) > 249
        if self.sequence + (len(pieces) if is_long else 1) > 15:
            self.resync()
        if not is_long:
            kind, payload = self.command_frame(0, packet)
        else:
            for number, piece in enumerate(pieces):
                is_last = number == len(pieces) - 1
                sort = 2 if is_last else 1 if number else 0
                head = struct.pack("<BBH", sort << 4, 0, 0 if number else len(packet) & 0xFFFF)
                kind, payload = self.command_frame(2, head + piece)
                if kind == 3 and payload[0] == 0xF0:
                    raise Refused("fragment", payload[2])
                assert is_last or (kind == 3 and payload[0] in (0x30, 0x40))
        return payload if kind == 1 else self.join(payload)

    def join(self, payload: bytes) -> bytes:
        """Take a response in fragments: NEXT after NEXT, ACK at the end."""
        first, _, length = struct.unpack("<BBH", payload[:4])
        assert first == 0
        data, command_sequence = payload[4:], self.sequence
        while payload[0] != 0x20:
            due = 1 if self.sequence >= 14 else self.sequence + 1
            kind, _, payload = self.ask(3, b"\x30\0\0\0", self.sequence, due)
            assert kind == 2
            assert payload[0] in (0x10, 0x20)
            data, self.sequence = data + payload[4:], due
        assert len(data) == (length or 65_536)
        head = bytes([self.sequence << 4 | 1, 3, 4, self.peer << 4 | self.own])
        self.send(head + b"\x40\0\0\0" + checksum(head + b"\x40\0\0\0"))
        if self.sequence % 15 + 1 == command_sequence:
            self.sequence = 15  # the next command would look like a repeat of this one
        return data

    # Application layer, protocol 3.1 and 5, scheme 0

    def command(
        self,
        kind: int,
        payload: bytes,
        *,
        source: int = READER,
        destination: int = EVERYONE,
        created: int = 0,
    ) -> bytes:
        """Send a command in the clear; return the payload of its response."""
        number, self.transaction = self.transaction, (self.transaction + 1) & 0xFFFF
        head = struct.pack("<BBBBQQB", 0, 1, 0, 0, source, destination, 0)
        middle = struct.pack("<BHIBBH", 0, number, created, kind, 0, len(payload))
        response = self.exchange(head + middle + payload + b"\x00\x02")
        assert response[:21] == struct.pack("<BBBBQQB", 0, 1, 0, 0, destination, source, 0)
        scheme, echo, _, answer, result, length = struct.unpack("<BHIBBH", response[21:32])
        assert (scheme, echo) == (0, number)
        assert response[32 + length :] == b"\x00\x02"
        if result:
            raise Refused("result", result)
        assert answer == kind + 1
        return response[32 : 32 + length]

    def read(self, code: int) -> bytes:
        """READ_OBJECT: return the object's value."""
        reply = self.command(0x30, struct.pack("<I", code))
        echo, zero, length = struct.unpack("<IHH", reply[:8])
        assert (echo, zero, length) == (code, 0, len(reply) - 8)
        return reply[8:]

    def read_part(self, code: int, first: int, last: int, member: int = 0xFF) -> bytes:
        """READ_OBJECT_PART: return the value of elements `first` to `last`."""
        part = struct.pack("<IHHB", code, first, last, member)
        reply = self.command(0x32, part)
        assert reply[:10] == part + b"\0"
        (length,) = struct.unpack("<H", reply[10:12])
        assert length == len(reply) - 12
        return reply[12:]

    def write(self, code: int, value: bytes) -> None:
        """WRITE_OBJECT."""
        assert self.command(0x34, struct.pack("<IHH", code, 0, len(value)) + value) == b""
