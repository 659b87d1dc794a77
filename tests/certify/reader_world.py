"""A reader in this process, and the meter that examines it, on a clock that skips every wait."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.cli.desk import Desk
from umi_cli.certificates.chain import decode_chain
from umi_cli.certificates.cvc import Certificate
from umi_cli.certificates.trust import Anchor, Trust
from umi_cli.certify.reader_case import READER_CASES, ReaderCase, Task, judge_reader
from umi_cli.certify.reader_record import Conversation, ReaderRecorder
from umi_cli.certify.run import Verdict
from umi_cli.crypto import AesKey, PrivateKey, Signer
from umi_cli.device.credentials import Scheme1Credentials, Scheme2Credentials
from umi_cli.device.meter import Meter
from umi_cli.device.protection import Protection
from umi_cli.device.protection1 import Scheme1
from umi_cli.device.protection2 import Scheme2
from umi_cli.device.session import Session
from umi_cli.errors import UmiError
from umi_cli.objects.catalogue import Catalogue
from umi_cli.security.keys import load_key
from umi_cli.transports.memory import MemoryTransport, SimulatedClock
from umi_cli.types import Role
from umi_cli.virtual.examiner import Examiner
from umi_cli.virtual.setup import SimOptions
from umi_cli.virtual.tricks import TRICKS
from umi_cli.virtual.tricks.base import Means

TIMEOUT_S = 1.0
CATALOGUE = Catalogue.load("ei4")
OBJECTS = ("umi.1.1.0.0", "umi.1.1.0.2")
LONG_OBJECT = "profile-table"

Reader = Callable[["World", MemoryTransport, Task], None]
"""Does a task on an open port; may raise `UmiError` when it gives up."""


@dataclass(frozen=True, kw_only=True)
class World:
    """The keys and certificates of the meter, of the reader, and of who has issued them."""

    options: SimOptions
    authority: tuple[Certificate, Signer]
    credentials: Scheme2Credentials
    role: Scheme1Credentials

    @classmethod
    def of(cls, desk: Desk) -> "World":
        """Return the world whose files are on a desk."""

        def signer(name: str) -> PrivateKey:
            key = load_key(Path(desk.file(name)))
            assert isinstance(key, PrivateKey)
            return key

        root = decode_chain(Path(desk.file("root.cvc")).read_bytes())[0]
        role_key = load_key(Path(desk.file("service.key")))
        assert isinstance(role_key, AesKey)
        return cls(
            options=SimOptions(
                key=Path(desk.file("meter.pem")),
                cert=Path(desk.file("meter.cvc")),
                anchor=Path(desk.file("root.cvc")),
                role_keys={Role.SERVICE: Path(desk.file("service.key"))},
            ),
            authority=(root, signer("root.pem")),
            credentials=Scheme2Credentials(
                signer=signer("office.pem"),
                chain=decode_chain(Path(desk.file("chain.cvc")).read_bytes()),
                trust=Trust(anchors=(Anchor.of(root),)),
            ),
            role=Scheme1Credentials(role=Role.SERVICE, key=role_key),
        )

    def protection(self, task: Task) -> Protection | None:
        """Return what a sound reader protects a task with."""
        if task is Task.SESSION:
            return Scheme2(self.credentials)
        return Scheme1(self.role) if task is Task.ROLE else None


def do_task(meter: Meter, task: Task) -> None:
    """Do what the scenario wants, as a sound reader does; `UmiError` if it cannot be done."""
    if task is Task.LONG:
        meter.read(LONG_OBJECT)
        return
    objects = OBJECTS * 9 if task is Task.MANY else OBJECTS
    for name in objects:
        meter.read(name)


def sound_reader(world: World, transport: MemoryTransport, task: Task) -> None:
    """Be umi-cli."""
    session = Session(transport, protection=world.protection(task), timeout_s=TIMEOUT_S)
    with Meter(transport, session, CATALOGUE) as meter:
        do_task(meter, task)


def converse(world: World, case: ReaderCase, reader: Reader) -> Conversation:
    """Have a reader do the task of a scenario; return what passed, and how it ended."""
    trick = TRICKS[case.trick](Means(timeout_s=TIMEOUT_S, authority=world.authority))
    recorder = ReaderRecorder()
    clock = SimulatedClock()
    examiner = Examiner(world.options, clock.utc)
    examiner.begin(trick, recorder)
    transport = MemoryTransport(examiner.new_line("reader"), clock=clock)
    exit_code = 0
    try:
        reader(world, transport, case.task)
    except UmiError as error:
        exit_code = error.exit_code
    finally:
        transport.close()
    return recorder.conversation(timeout_s=TIMEOUT_S, attempts=3, exit=exit_code)


def examine(world: World, number: str, reader: Reader) -> tuple[Verdict, str]:
    """Judge a reader in a scenario."""
    case = READER_CASES[number]
    return judge_reader(case, converse(world, case, reader))
