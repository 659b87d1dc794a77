"""Image packages for a virtual meter, and a commander that sends them block by block."""

from dataclasses import replace
from typing import Any

from tests.images.packages import LABEL, built, signed
from tests.virtual.bench import Bench
from tests.virtual.parties import Party, party, role_key, trusting_memory
from umi_cli.application.codes import ResultCode
from umi_cli.application.commands import ImageData, ImageEnd, ImageStart
from umi_cli.application.payload import Command
from umi_cli.images.header import Version
from umi_cli.types import Role
from umi_cli.virtual.memory import Memory

PROVIDER = Role.SOFTWARE_PROVIDER
MAKER = party(0xB1, PROVIDER)
"""Who signs images under scheme 2."""
IMAGE = b"an image to be run"
BLOCK_BYTES = 50
OK = ResultCode.OK


def package(version: str = "1.5.0", image: bytes = IMAGE, **label: Any) -> bytes:
    """Return a package that nobody has signed."""
    return built(image, replace(LABEL, version=Version.parse(version), **label))


def with_mac(version: str = "1.5.0", role: Role = PROVIDER, **changes: Any) -> bytes:
    """Return a package under scheme 1, which is short and quickly made."""
    return signed(package(version, **changes), role_key(role), role)


def by_maker(version: str = "1.5.0", who: Party = MAKER, **changes: Any) -> bytes:
    """Return a package under scheme 2."""
    role = who.certificate.body.authorisation.role  # type: ignore[union-attr]
    return signed(package(version, **changes), who.key, role)


def blocks(data: bytes, block_bytes: int = BLOCK_BYTES) -> list[ImageData]:
    pieces = [data[start : start + block_bytes] for start in range(0, len(data), block_bytes)]
    return [ImageData(number=number, data=piece) for number, piece in enumerate(pieces)]


def commands(data: bytes, block_bytes: int = BLOCK_BYTES) -> list[Command[Any]]:
    """Return all the commands of a transfer."""
    return [ImageStart(length_bytes=len(data)), *blocks(data, block_bytes), ImageEnd(is_valid=1)]


def knowing(*known: Party) -> Memory:
    """Return the memory of a meter in the field that knows the maker, and these parties."""
    return trusting_memory(MAKER, *known)


def image_bench(role: Role = PROVIDER, **options: Any) -> Bench:
    """Return a meter that knows the maker, to whose peers a role is given."""
    given: dict[str, Any] = {"role": role, "memory": knowing()}
    return Bench(**(given | options))


def send(bench: Bench, data: bytes, block_bytes: int = BLOCK_BYTES) -> ResultCode:
    """Send a whole package; return what is said to its end."""
    *before, end = commands(data, block_bytes)
    for command in before:
        assert bench.result(command) in (OK, ResultCode.TRANSFER_RESTARTED)
    return bench.result(end)


def runs(bench: Bench) -> tuple[int, ...]:
    """Return major, minor, bugfix and slot, as the meter tells them."""
    return tuple(bench.read("active-software-version")[:4])


def upgrades(bench: Bench) -> list[tuple[int, int]]:
    """Return reason and error of each event 2 in the log."""
    records = bench.memory.events.records
    found = [bytes.fromhex(data) for number, _, data in records if number == 2]
    return [(content[0], content[1]) for content in found]
