"""Where the Wireshark dissector is, and how its tables are made from ours, so that none drifts.

`python -m umi_cli.explain.dissector` writes the tables into `share/umi.lua`; a test compares them.
"""

from collections.abc import Iterator, Mapping
from enum import IntEnum
from pathlib import Path

from umi_cli.application import codec
from umi_cli.application.codec import Form, forms_of
from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.payload import COMMANDS, REPLIES
from umi_cli.explain.summary import DETAILS
from umi_cli.link.fragment import FragmentErrorCode, FragmentType
from umi_cli.link.frame import FrameType, LinkErrorCode
from umi_cli.types import Role

PATH = Path(__file__).parent.parent / "share" / "umi.lua"
"""The dissector that is part of the package."""
BEGIN, END = "-- BEGIN TABLES\n", "-- END TABLES\n"
_ENUMERATIONS: Mapping[str, type[IntEnum]] = {
    "frame_types": FrameType,
    "link_errors": LinkErrorCode,
    "fragment_types": FragmentType,
    "fragment_errors": FragmentErrorCode,
    "packet_types": PacketType,
    "result_codes": ResultCode,
}


def with_tables(text: str) -> str:
    """Return the dissector's text with the tables that hold now."""
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    return head + BEGIN + "".join(f"{line}\n" for line in _lines()) + END + tail


def _lines() -> Iterator[str]:
    for name, numbers in _ENUMERATIONS.items():
        yield from _table(name, {each.value: f'"{each.name}"' for each in numbers})
    yield from _table("roles", {role.value: f'"{role.label}"' for role in Role})
    kinds = {**COMMANDS, **REPLIES}
    yield from _table("payloads", {number: _fields(kinds[number]) for number in sorted(kinds)})
    yield "local details = { " + ", ".join(f'"{name}"' for name in DETAILS) + " }"


def _table(name: str, entries: Mapping[int, str]) -> Iterator[str]:
    yield f"local {name} = {{"
    for number, text in entries.items():
        yield f"    [0x{number:02X}] = {text},"
    yield "}"


def _fields(kind: type[object]) -> str:
    """Return a payload's fields with their forms, in the order of the wire."""
    known = reversed(vars(codec).items())  # of two names for one form the first stays
    names = {id(form): name for name, form in known if isinstance(form, Form)}
    fields = [f'{{ "{name}", "{names[id(form)]}" }}' for name, form in forms_of(kind).items()]
    return "{ " + ", ".join(fields) + " }" if fields else "{}"


def main() -> None:
    """Write the tables into the dissector."""
    PATH.write_text(with_tables(PATH.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
