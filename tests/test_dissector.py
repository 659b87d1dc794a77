"""The Wireshark dissector against our own decoder: every packet type, any bytes, over TCP too."""

import io
import struct
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.dissected import EXPERT, FIELDS, compared, dissected, needs_tshark, tshark
from umi_cli.application import codec
from umi_cli.application.codec import Form, forms_of
from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.packet import Envelope, Message
from umi_cli.application.payload import COMMANDS, REPLIES, Payload
from umi_cli.cli.decode_capture import _record
from umi_cli.explain.capture import CaptureExplainer
from umi_cli.explain.dissector import PATH, with_tables
from umi_cli.explain.pcapng import Block, Interface, Packet, Section
from umi_cli.link.fragment import Fragment, FragmentErrorCode, FragmentType, split
from umi_cli.link.frame import Frame, FrameType, LinkErrorCode
from umi_cli.objects.catalogue import Catalogue
from umi_cli.output.render import to_plain
from umi_cli.types import ObjectPart, RoleSet, UmiCode, UmiId

KINDS: dict[int, type[Payload]] = {**COMMANDS, **REPLIES}
ETHERNET_TCP, RAW_IP = 4059, 101


def test_the_tables_are_ours() -> None:
    """Made anew with: python -m umi_cli.explain.dissector."""
    text = PATH.read_text(encoding="utf-8")
    assert with_tables(text) == text


def test_the_dissector_is_where_decode_says() -> None:
    assert PATH.is_file()
    assert PATH.parent.name == "share"


def capture(path: Path, data: list[bytes], way: str | None = "out", link_type: int = 147) -> None:
    blocks: list[Block] = [Section(), Interface(link_type=link_type, name="x")]
    blocks += [
        Packet(interface=0, utc_us=n, data=each, direction=way)  # type: ignore[arg-type]
        for n, each in enumerate(data)
    ]
    path.write_bytes(b"".join(block.encode() for block in blocks))


def explained(path: Path) -> list[dict[str, Any]]:
    explainer = CaptureExplainer(Catalogue.load("ei4"))
    found = explainer.explain(io.BytesIO(path.read_bytes()))
    return [to_plain(_record(each)) for each in found]


def frame(
    payload: bytes, kind: int = FrameType.SIMPLE, sequence: int = 1, source: int = 5
) -> bytes:
    return Frame(
        sequence=sequence, frame_type=kind, destination=0, source=source, payload=payload
    ).encode()


def packet(kind: int, payload: bytes, argument: int = 0, signature: bytes = b"\x00\x02") -> bytes:
    envelope = Envelope(source=UmiId(0x0023_7EFE_0000_0004), destination=UmiId(1))
    message = Message(
        transaction=7,
        created_s=676_999_688,
        packet_type=kind,
        argument=argument,
        payload=payload,
        signature_scheme=signature[0],
        signature=signature,
    )
    return envelope.encode() + message.encode()


def value_for(form: Form, random: Random) -> Any:
    """Return a value that a field of that form may have."""
    length = random.choice((0, 1, 9))
    of_forms: dict[int, Any] = {
        id(codec.U8): random.randrange(256),
        id(codec.U16): random.randrange(1 << 16),
        id(codec.U32): random.randrange(1 << 32),
        id(codec.CODE): UmiCode(random.randrange(1 << 32)),
        id(codec.ID): UmiId(random.randrange(1 << 64)),
        id(codec.ROLES): RoleSet(random.randrange(1 << 16)),
        id(codec.PART): random.choice(
            [ObjectPart(UmiCode(5), 1, 4, 2), ObjectPart(UmiCode(5)), ObjectPart(UmiCode(6), 3, 3)]
        ),
        id(codec.NONCE): random.randbytes(16),
        id(codec.TAG): random.randbytes(16),
    }
    return of_forms.get(id(form), random.randbytes(length))


@needs_tshark
def test_every_packet_type(tmp_path: Path) -> None:
    random = Random(1)
    data = []
    for number, kind in sorted(KINDS.items()):
        for _ in range(4):
            values = {name: value_for(form, random) for name, form in forms_of(kind).items()}
            payload = kind(**values).encode()
            for signature in (b"\x00\x02", b"\x01\x12" + bytes(16), b"\x01\x1b" + bytes(25)):
                data.append(frame(packet(number, payload, signature=signature)[:249]))
            data.append(frame(packet(number, payload + b"x")))
            data.append(frame(packet(number, payload[:-1])))
    path = tmp_path / "all.pcapng"
    capture(path, data)
    compared(path, explained(path))


@needs_tshark
def test_every_result_code_and_error(tmp_path: Path) -> None:
    data = [frame(packet(PacketType.READ_OBJECT_RESPONSE, b"", code)) for code in range(256)]
    data += [frame(struct.pack("<H", code), FrameType.ERROR) for code in range(8)]
    data += [
        frame(Fragment(fragment_type=FragmentType.ERROR, data=code).encode(), kind)
        for code in range(6)
        for kind in (FrameType.FRAGMENT, FrameType.FRAGMENT_RESPONSE)
    ]
    path = tmp_path / "codes.pcapng"
    capture(path, data)
    rows = compared(path, explained(path))
    texts = "\n".join(row["_ws.col.Info"] for row in rows)
    names = [code.name for code in (*ResultCode, *LinkErrorCode, *FragmentErrorCode)]
    assert [name for name in names if name not in texts] == []
    assert rows[ResultCode.ACCESS_DENIED][EXPERT] == "ACCESS_DENIED"


@needs_tshark
@pytest.mark.parametrize("seed", range(2))
def test_any_bytes(tmp_path: Path, seed: int) -> None:
    """Nothing that a line may bring upsets Lua, and both see the same in it."""
    random = Random(seed)
    data = [random.randbytes(random.randrange(1, 40)) for _ in range(100)]
    for _ in range(400):
        payload = random.randbytes(random.choice((0, 1, 3, 4, 5, 20, 21, 22, 33, 40, 60)))
        if random.random() < 0.7:
            payload = bytes([random.choice((0, 0, 1, 2, 3)), 1]) + payload[2:]
        made = bytearray(frame(payload, random.randrange(16), random.randrange(16)))
        if random.random() < 0.1:
            made[random.randrange(len(made))] ^= 1 << random.randrange(8)
        data.append(bytes(made))
    path = tmp_path / "any.pcapng"
    capture(path, data, random.choice(["in", "out", None]))
    rows = dissected(path)
    ours = explained(path)
    assert [row["_ws.col.Info"] for row in rows] == [each["what"] for each in ours]
    for row in rows:
        assert bool(row["_ws.malformed"]) == ("malformed" in row["_ws.col.Info"])
    capture(path, data, link_type=148)
    compared(path, explained(path))
    capture(path, [each for each in data if each], link_type=149)
    assert [row["_ws.col.Info"] for row in dissected(path)] == [
        each["what"] for each in explained(path)
    ]


def fragments(whole: bytes, source: int = 5) -> list[bytes]:
    return [
        frame(piece, FrameType.FRAGMENT, n % 15 + 1, source) for n, piece in enumerate(split(whole))
    ]


def cases() -> dict[str, list[bytes]]:
    """Return frames of fragments, as they should be and as they should not."""
    whole = packet(PacketType.IMAGE_DATA, bytes(4) + bytes(range(256)) * 4)
    data, other = fragments(whole), fragments(whole, source=6)
    mixed = [each for pair in zip(data, other, strict=True) for each in pair]
    long = fragments(packet(PacketType.IMAGE_DATA, bytes(5000)))
    empty = frame(Fragment(fragment_type=FragmentType.MIDDLE).encode(), FrameType.FRAGMENT, 2)
    resync = frame(b"", FrameType.RESYNC, 0)
    return {
        "whole": data,
        "wraps": long,
        "each twice": [each for each in data for _ in range(2)],
        "a late one": [*data[:3], data[1], *data[3:]],
        "one is missing": [data[0], *data[2:]],
        "no FIRST": data[1:],
        "FIRST again": [*data[:2], *data],
        "two senders": mixed,
        "empty MIDDLE": [data[0], empty, *data[1:]],
        "RESYNC": [*data[:2], resync, *data[2:], *data],
        "too many": [data[0], *(frame(split(whole)[1], 2, n) for n in range(2, 7))],
        "cut": [data[0], frame(split(whole)[-1], FrameType.FRAGMENT, 2)],
    }


@needs_tshark
@pytest.mark.parametrize("name", cases())
def test_fragments(tmp_path: Path, name: str) -> None:
    path = tmp_path / "fragments.pcapng"
    capture(path, cases()[name])
    rows = compared(path, explained(path))
    told = [row["_ws.col.Info"] for row in rows]
    put_together = sum("FRAGMENT LAST: IMAGE_DATA, block 0, " in each for each in told)
    wholes = {"two senders": 2, "one is missing": 0, "no FIRST": 0, "too many": 0, "cut": 0}
    wholes |= {"empty MIDDLE": 0}
    assert put_together == wholes.get(name, 1)
    assert dissected(path, "-2") == rows, "a frame looked at again says the same"


def segment(data: bytes, sequence: int, source_port: int, port: int) -> bytes:
    """Return an IPv4 packet with a TCP segment."""
    tcp = struct.pack(">HHIIBBHHH", source_port, port, sequence, 0, 5 << 4, 0x18, 8192, 0, 0)
    ip = struct.pack(
        ">BBHHHBBH4s4s", 0x45, 0, 40 + len(data), 1, 0, 64, 6, 0, bytes([10, 0, 0, 1]), bytes(4)
    )
    return ip + tcp + data


@needs_tshark
def test_over_tcp(tmp_path: Path) -> None:
    """Frames are found in the stream, however it was cut."""
    read = frame(packet(PacketType.READ_OBJECT, UmiCode(5).encode()))
    image = packet(PacketType.IMAGE_DATA, bytes(4) + bytes(300))
    stream = read + b"".join(fragments(image)) + read
    cuts = [0, 3, 10, len(read) + 20, len(stream) - 5, len(stream)]
    pieces = [stream[start:end] for start, end in pairwise(cuts)]
    data = [
        segment(piece, 1000 + start, 50_000, ETHERNET_TCP)
        for start, piece in zip(cuts, pieces, strict=False)
    ]
    path = tmp_path / "tcp.pcapng"
    capture(path, data, None, RAW_IP)
    text = tshark(
        path,
        "-d",
        f"tcp.port=={ETHERNET_TCP},umi_tcp",
        "-T",
        "fields",
        "-e",
        "_ws.col.Info",
        "-e",
        "umi.packet_type",
    )
    told = [line.split("\t") for line in text.splitlines()]
    infos = "; ".join(info.strip() for info, types in told if types or "FRAGMENT" in info)
    assert infos == (
        "READ_OBJECT umi.0.0.0.5; FRAGMENT FIRST, a packet of 338 bytes "
        "FRAGMENT LAST: IMAGE_DATA, block 0, 300 bytes; READ_OBJECT umi.0.0.0.5"
    )


@needs_tshark
def test_filters_as_a_user_types_them(tmp_path: Path) -> None:
    path = tmp_path / "filters.pcapng"
    read = packet(PacketType.READ_OBJECT, UmiCode.parse("umi.1.1.0.0").encode())
    refused = packet(PacketType.READ_OBJECT_RESPONSE, b"", ResultCode.ACCESS_DENIED)
    damaged = bytearray(frame(refused))
    damaged[-1] ^= 1
    capture(path, [frame(read), frame(read), frame(refused, 1), bytes(damaged)])
    for wanted, numbers in {
        'umi.payload.code == "umi.1.1.0.0"': ["1", "2"],
        "umi.repeated == 1": ["2"],
        "umi.result != 0": ["3"],
        "umi.expert.refused": ["3"],
        "umi.crc_ok == 0": ["4"],
        "umi.expert.crc": ["4"],
        "umi.source_id == 0x00237efe00000004": ["1", "2", "3"],
    }.items():
        found = [row["frame.number"] for row in dissected(path, "-Y", wanted)]
        assert found == numbers, wanted


def test_every_field_that_is_compared_is_the_dissectors() -> None:
    text = PATH.read_text(encoding="utf-8")
    made = [name for name in FIELDS if not name.startswith("umi.payload.")]
    assert [name for name in made if f'"{name}"' not in text] == []
