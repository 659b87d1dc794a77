"""Readers that are wrong in one thing each, and the scenarios that find it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.certify import bad_links, bad_protections
from tests.certify.reader_world import CATALOGUE, LONG_OBJECT, TIMEOUT_S, World, do_task
from umi_cli.application.commands import Complete, ReadObject
from umi_cli.application.payload import Command
from umi_cli.certify.reader_case import Task
from umi_cli.device.meter import Meter
from umi_cli.device.protection import Protection
from umi_cli.device.protection2 import Scheme2
from umi_cli.device.session import Session
from umi_cli.errors import NotTrustedError, RefusedError
from umi_cli.link.connection import LinkConnection
from umi_cli.transports.memory import MemoryTransport
from umi_cli.types import UmiCode

SALT = bytes(range(1, 17))


def _do_task(meter: Meter, task: Task) -> None:
    do_task(meter, task)


@dataclass(frozen=True, kw_only=True)
class BadReader:
    """Our own reader, with one thing changed."""

    finds: str
    """The scenarios that find it, between blanks."""
    link: type[LinkConnection] = LinkConnection
    session: type[Session] = Session
    protection: Callable[[World], Protection] | None = None
    attempts: int = 3
    timeout_s: float = TIMEOUT_S
    is_patient: bool = True
    do: Callable[[Meter, Task], None] = field(default=_do_task)

    @property
    def numbers(self) -> list[str]:
        return [f"RDR-{each}" for each in self.finds.split()]

    def __call__(self, world: World, transport: MemoryTransport, task: Task) -> None:
        make = self.protection
        protection = world.protection(task) if make is None else make(world)
        session = self.session(
            transport, protection=protection, timeout_s=self.timeout_s, attempts=self.attempts
        )
        session.driver.link = self.link(session.link.settings)
        if not self.is_patient:
            session.driver.pause = lambda pause_s: None  # type: ignore[method-assign]
        with Meter(transport, session, CATALOGUE) as meter:
            self.do(meter, task)


class _Renumbers(Session):
    """COMPLETE is a command as any other, with a number of its own."""

    def _send(self, command: Command[Any], *args: Any, **options: Any) -> Any:
        if isinstance(command, Complete):
            self._transaction += 1
        return super()._send(command, *args, **options)


def _insists(meter: Meter, task: Task) -> None:
    """Ask for all of an array again and again."""
    command = ReadObject(code=UmiCode.parse("umi.1.1.194.23"))
    for _ in range(3):
        try:
            meter.session.request(command)
        except RefusedError:
            continue


def _gives_up(meter: Meter, task: Task) -> None:
    """Ask for all of an array once."""
    meter.session.request(ReadObject(code=CATALOGUE.resolve(LONG_OBJECT).code))


def _hammers(meter: Meter, task: Task) -> None:
    """Ask until an answer comes."""
    while True:
        try:
            meter.read("manufacturer-id")
        except RefusedError:
            continue
        return


class _WantsNoOperation(Scheme2):
    """Only OK confirms a key."""

    def _agree(self, *args: Any) -> None:
        from umi_cli.application.commands import NoOperation

        super()._agree(*args)
        channel = args[0]
        try:
            channel.request_under(self, NoOperation())
        except RefusedError as error:
            raise NotTrustedError("the key is not confirmed") from error


BAD_READERS = {
    "never repeats": BadReader(attempts=1, finds="001 002 003 004 005 006 007 021 066 091"),
    "repeats three times": BadReader(attempts=4, finds="002 067"),
    "makes repeats anew": BadReader(link=bad_links.RepeatsAnew, finds="001 003 004 066"),
    "does not check the CRC": BadReader(link=bad_links.CrcUnchecked, finds="003"),
    "does not check the sequence": BadReader(link=bad_links.SequenceUnchecked, finds="004 014 022"),
    "does not check addresses": BadReader(link=bad_links.AddressUnchecked, finds="005 006"),
    "keeps what it did not ask for": BadReader(link=bad_links.BufferKept, finds="013"),
    "lets sequences wrap": BadReader(link=bad_links.Wraps, finds="008"),
    "begins at sequence 7": BadReader(link=bad_links.BeginsAtSeven, finds="008 015"),
    "does not pause": BadReader(is_patient=False, finds="009 010 036"),
    "never finds a frame behind noise": BadReader(link=bad_links.NeverSlides, finds="011"),
    "takes each chunk for a frame": BadReader(link=bad_links.ChunkIsFrame, finds="012"),
    "is hasty": BadReader(timeout_s=0.4 * TIMEOUT_S, finds="090 091"),
    "takes fragments with ACK": BadReader(link=bad_links.TakesWithAck, finds="020"),
    "does not count fragments": BadReader(link=bad_links.LengthUnchecked, finds="023 024"),
    "does not hear fragment errors": BadReader(link=bad_links.FragmentErrorIgnored, finds="025"),
    "does not check transactions": BadReader(
        protection=lambda world: bad_protections.TransactionUnchecked(), finds="030 034"
    ),
    "does not check UMI IDs": BadReader(
        protection=lambda world: bad_protections.IdsUnchecked(), finds="031"
    ),
    "does not check types": BadReader(
        protection=lambda world: bad_protections.TypeUnchecked(), finds="032"
    ),
    "does not check objects": BadReader(
        protection=lambda world: bad_protections.ObjectUnchecked(), finds="033"
    ),
    "does not check lengths": BadReader(
        protection=lambda world: bad_protections.LengthUnchecked(), finds="035"
    ),
    "numbers COMPLETE anew": BadReader(session=_Renumbers, finds="036"),
    "insists on all of an array": BadReader(do=_insists, finds="037"),
    "gives a long array up": BadReader(do=_gives_up, finds="037"),
    "hammers": BadReader(do=_hammers, finds="038"),
    "takes an unknown result for none": BadReader(link=bad_links.ResultUnheard, finds="039"),
    "trusts anyone": BadReader(
        protection=lambda world: bad_protections.TrustsAnyone(world.credentials),
        finds="050 051 052 053 054",
    ),
    "trusts the root that the meter shows": BadReader(
        protection=lambda world: bad_protections.ShownRootTrusted(world.credentials), finds="050"
    ),
    "has no clock": BadReader(
        protection=lambda world: bad_protections.TimeUnchecked(world.credentials), finds="052"
    ),
    "takes any device's certificate": BadReader(
        protection=lambda world: bad_protections.SubjectUnchecked(world.credentials), finds="053"
    ),
    "takes anybody for a device": BadReader(
        protection=lambda world: bad_protections.RoleUnchecked(world.credentials), finds="054"
    ),
    "never doubts a session": BadReader(
        protection=lambda world: bad_protections.NaiveScheme2(world.credentials),
        finds="060 061 062 063 064 065 067",
    ),
    "believes the clear in a session": BadReader(
        protection=lambda world: bad_protections.BelievesClear(world.credentials), finds="062"
    ),
    "always sends the same salt": BadReader(
        protection=lambda world: Scheme2(world.credentials, salt=lambda: SALT),
        finds="062 063 064 065 067",
    ),
    "never counts": BadReader(
        protection=lambda world: bad_protections.CounterStands(world.credentials), finds="068"
    ),
    "is confirmed by OK alone": BadReader(
        protection=lambda world: _WantsNoOperation(world.credentials), finds="068"
    ),
    "proves itself first": BadReader(
        protection=lambda world: bad_protections.ProvesFirst(world.role), finds="080"
    ),
    "does not check MACs": BadReader(
        protection=lambda world: bad_protections.MacUnchecked(world.role), finds="081"
    ),
}
"""By what is wrong with them."""
