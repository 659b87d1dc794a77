"""The toolkit as a reader, against a virtual meter that spoils what it sends.

What must hold in every case, whatever comes back:

1. every operation ends: done, or with a `UmiError`; nothing else is ever raised;
2. it ends within bounds of (simulated) time and of frames that were sent;
3. a value that is reported is the one that the meter holds;
4. a write, or an upload, that is reported done was done; a write runs once.

A forger who may change anything but knows no key is told apart from a bad line: under scheme 0 the
forger is believed, for nothing is proved there, and 1 and 2 are all that is asked.

(The module stands beside `connecting`: here too a virtual meter and a session meet.)
"""

import io
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from random import Random

from umi_cli import crypto
from umi_cli.certificates.authorisation import (
    EVERY_TARGET,
    Authorisation,
    AuthorityAuthorisation,
    StandardAuthorisation,
    TargetRange,
)
from umi_cli.certificates.cvc import Certificate, CertificateBody
from umi_cli.certificates.trust import Anchor, Trust
from umi_cli.crypto import AesKey, PrivateKey
from umi_cli.device.credentials import Scheme1Credentials, Scheme2Credentials
from umi_cli.device.driver import InDoubtError
from umi_cli.device.image_upload import Running, UploadResult, upload
from umi_cli.device.info import read_info
from umi_cli.device.meter import Meter
from umi_cli.device.protection import Protection
from umi_cli.device.protection1 import Scheme1
from umi_cli.device.protection2 import Scheme2
from umi_cli.device.session import Session
from umi_cli.errors import UmiError
from umi_cli.images.build import build_device
from umi_cli.images.header import ImageLabel, Version
from umi_cli.images.signing import sign_package
from umi_cli.images.upload import Transfer
from umi_cli.objects.catalogue import Catalogue
from umi_cli.transports.memory import MemoryTransport, SimulatedClock
from umi_cli.types import EPOCH_UNIX_S, Role, RoleSet, UmiId, parse_datetime
from umi_cli.virtual.delivered import VIRTUAL_METER_ID
from umi_cli.virtual.fuzzing import FuzzingMeter, Spoiling, Spoilt
from umi_cli.virtual.memory import Memory
from umi_cli.virtual.setup import SimOptions, Simulation

START_S = parse_datetime("2026-11-22T10:00:00Z")
BOUND_S = 1500.0  # of an operation, in simulated time: tries of tries, each waited for
ROLES = 16  # each has a key under scheme 1
MAX_FRAMES = 5000  # that we send in an operation
RATES = (0.02, 0.1, 0.3, 0.6)  # of spoilt answers, in turn by chance
OWN_ID, ROOT_ID = UmiId(0x0023_7EFE_0000_0009), UmiId(0x0023_7EFE_0000_00A0)
COUNTER = "counter"
BLOCK_BYTES = 200
NEW_VERSION = Version(1, 5, 0)
_STATIC = ("identity", "software")  # sections of the info that do not change by themselves
_FROM, _UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2046, 1, 1, tzinfo=UTC)
# What an operation must never raise, but a fault in it would.
_FAULTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    InDoubtError,
    LookupError,
    MemoryError,
    NameError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


class Endless(BaseException):  # past every handler of the code that is being tried
    """An operation does not end within its bounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """Something did not hold."""

    number: int
    """Of the case."""
    title: str
    """What was done, such as `scheme 2, forgery: write`."""
    message: str


@dataclass(slots=True, kw_only=True)
class ReaderOutcome:
    """What came of a run."""

    seed: int
    cases: int = 0
    duration_s: float = 0.0
    spoilt: Counter[str] = field(default_factory=Counter)
    """What was done to answers, how often."""
    ended: Counter[str] = field(default_factory=Counter)
    """How operations ended: `done`, or the name of the error."""
    violations: list[Violation] = field(default_factory=list)
    under_way: int = 0
    """The case that was begun last."""

    @property
    def rate(self) -> float:
        """Return how many cases there were a second."""
        return self.cases / self.duration_s if self.duration_s > 0 else 0.0


def key(number: int) -> PrivateKey:
    """Return one of the keys of this small world, which everybody may know."""
    return PrivateKey.from_scalar(number.to_bytes(32, "big"))


@dataclass(frozen=True)
class Parties:
    """Who trusts whom in this small world."""

    root: Certificate
    meter: Certificate
    scheme1: Scheme1Credentials
    scheme2: Scheme2Credentials
    package: bytes = field(repr=False)
    """An image that the meter takes."""


@cache
def parties() -> Parties:
    """Return the parties; they are made once, for keys take their time."""
    everyone = RoleSet.everyone()
    rights = AuthorityAuthorisation(
        targets=EVERY_TARGET, signing_roles=everyone, devolvable_roles=everyone
    )
    root = _certificate(ROOT_ID, key(1), rights, 1)
    meter = _certificate(VIRTUAL_METER_ID, key(2), _acting(Role.METERING_DEVICE), 2)
    own = _certificate(OWN_ID, key(3), _acting(Role.SERVICE), 3)
    role_key = AesKey(bytes(range(crypto.AES_KEY_BYTES)))
    return Parties(
        root=root,
        meter=meter,
        scheme1=Scheme1Credentials(role=Role.SERVICE, key=role_key),
        scheme2=Scheme2Credentials(
            signer=key(3), chain=(own,), trust=Trust(anchors=(Anchor.of(root),))
        ),
        package=_package(role_key),
    )


def _acting(role: Role) -> Authorisation:
    return StandardAuthorisation(targets=EVERY_TARGET, role=role)


def _certificate(
    subject: UmiId, holder: PrivateKey, rights: Authorisation, serial: int
) -> Certificate:
    body = CertificateBody(
        issuer=ROOT_ID,
        serial=bytes([serial]),
        public_point=holder.public_point,
        subject=subject,
        valid_from=_FROM,
        valid_until=_UNTIL,
        authorisation=rights,
    )
    return Certificate.sign(body, key(1))


def _package(role_key: AesKey) -> bytes:
    label = ImageLabel(
        model="EISGMv0",
        version=NEW_VERSION,
        targets=TargetRange(lowest=VIRTUAL_METER_ID, highest=VIRTUAL_METER_ID),
        built_s=START_S,
    )
    plain, signed = io.BytesIO(), io.BytesIO()
    build_device(io.BytesIO(bytes(range(256)) * 4), plain, label)
    plain.seek(0)
    sign_package(plain, signed, role_key, role=Role.SOFTWARE_PROVIDER)
    return signed.getvalue()


def trust_each_other(memory: Memory) -> None:
    """Give a meter the keys and certificates of this small world."""
    known = parties()
    vault = memory.vault
    vault.signer, vault.chain, vault.anchors = key(2), (known.meter,), (known.root,)
    definition = memory.store.find("scheme-1-keys")
    assert definition is not None  # noqa: S101 - it is of every virtual meter
    memory.store.values[definition.code] = known.scheme1.key.raw * ROLES


class ReaderCase:
    """One case: a meter, a reader, an operation; all by chance.

    Args:
        seed: of the run.
        number: of the case.
        catalogue: of the meter.
        tell: told of each answer that is spoilt.
    """

    def __init__(
        self,
        seed: int,
        number: int,
        catalogue: Catalogue,
        tell: Callable[[Spoilt], None] = lambda spoilt: None,
    ) -> None:
        chance = Random(f"{seed}:reader:{number}")  # noqa: S311 - repeatable on purpose
        self.number = number
        self.scheme = chance.choice((0, 1, 1, 2, 2))
        self.spoiling = chance.choice(list(Spoiling))
        self.operation = chance.choice(tuple(_OPERATIONS))
        self.meter = FuzzingMeter(chance, chance.choice(RATES), self.spoiling, tell)
        self._target = chance.randrange(1, 1 << 31)
        self._catalogue = catalogue
        self._clock = SimulatedClock(float(START_S + EPOCH_UNIX_S))
        options = SimOptions(time_s=START_S, defect=lambda: self.meter)
        self._simulation = Simulation(options, self._clock.utc())
        self.memory = self._simulation.meter.memory
        trust_each_other(self.memory)
        self._executed: Counter[int] = Counter()
        self.memory.store.on_write(COUNTER, self._on_write)
        self._frames = 0
        self._bound_s = self._clock.monotonic() + BOUND_S

    @property
    def title(self) -> str:
        """Return what is done in which way."""
        return f"scheme {self.scheme}, {self.spoiling}: {self.operation}"

    @property
    def is_protected(self) -> bool:
        """Tell whether the reader can know what is wrong."""
        return self.scheme > 0 or self.spoiling is Spoiling.LINE

    def run(self) -> tuple[str, list[str]]:
        """Do the operation; return how it ended, and what did not hold."""
        faults: list[str] = []
        try:
            with self._open() as meter:
                _OPERATIONS[self.operation](self, meter, faults)
        except UmiError as error:
            ended = error.code
        except Endless as error:
            return "endless", [str(error)]
        except _FAULTS as error:
            return "fault", [f"{type(error).__name__} was raised: {error}"]
        else:
            ended = "done"
        if self.is_protected and max(self._executed.values(), default=0) > 1:
            faults.append("a write was executed twice")
        return ended, faults

    def _open(self) -> Meter:
        known = parties()
        protection: Protection | None = None
        if self.scheme:
            is_first = self.scheme == 1
            protection = Scheme1(known.scheme1) if is_first else Scheme2(known.scheme2)
        transport = MemoryTransport(self._simulation.new_line("line"), clock=self._clock)
        session = Session(transport, own_id=OWN_ID, protection=protection, observer=self._on_bytes)
        return Meter(transport, session, self._catalogue)

    def _on_bytes(self, direction: str, data: bytes) -> None:
        self._frames += direction == "out"
        if self._frames > MAX_FRAMES:
            raise Endless(f"more than {MAX_FRAMES} frames were sent")
        if self._clock.monotonic() > self._bound_s:
            raise Endless(f"it took more than {BOUND_S:.0f} s")

    def _on_write(self, raw: bytes) -> None:
        self._executed[int.from_bytes(raw, "little")] += 1

    # --- operations -----------------------------------------------------------------------

    def info(self, meter: Meter, faults: list[str]) -> None:
        """Read who the meter is."""
        info = read_info(meter)
        if not self.is_protected:
            return
        # One that nobody has proved is told as that: `standing` says so.
        is_proved = info.standing.is_authenticated
        if is_proved and info.device_id not in (None, self.memory.umi_id):
            faults.append(f"the device's UMI ID was given as {info.device_id}")
        names = {"identity": "manufacturer-id", "software": "active-software-version"}
        for section in _STATIC:
            if section in info.objects and info.objects[section] != self._held(names[section]):
                faults.append(f"{section} was given as {info.objects[section]!r:.100}")

    def read(self, meter: Meter, faults: list[str]) -> None:
        """Read an object that fits a frame, and one that does not."""
        for name in (COUNTER, "manufacturer-id", "active-software-version"):
            self._compare(name, meter.read(name).value, faults)

    def read_array(self, meter: Meter, faults: list[str]) -> None:
        """Read an array in fragments."""
        found = meter.read("profile-table[0:47]")
        held = self.memory.store.read(found.part, Role.SERVICE)
        if self.is_protected and found.raw != held:
            faults.append(f"{found.part} was given otherwise than the meter holds it")

    def write(self, meter: Meter, faults: list[str]) -> None:
        """Write, and read back."""
        meter.write(COUNTER, self._target)
        held = self._held(COUNTER)
        if self.is_protected and (self._executed[self._target] != 1 or held != self._target):
            faults.append(f"a write was reported done, and the meter holds {held}")
        self._compare(COUNTER, meter.read(COUNTER).value, faults)

    def access(self, meter: Meter, faults: list[str]) -> None:
        """Ask who may do what."""
        found = meter.access("wan-configuration")
        held = self.memory.store.access_of(found.code, Role.SERVICE)
        if self.is_protected and (found.read, found.write) != (held.read, held.write):
            faults.append(f"the access of {found.code} was given otherwise than it is")

    def authenticate(self, meter: Meter, faults: list[str]) -> None:
        """Prove each other who they are."""
        meter.session.begin()
        standing = meter.session.standing
        meter.ping()
        if self.scheme and not standing.is_authenticated:
            faults.append("it was begun, and nobody was authenticated")

    def upload(self, meter: Meter, faults: list[str]) -> None:
        """Upload an image."""
        package = parties().package
        transfer = Transfer(
            file=io.BytesIO(package),
            length_bytes=len(package),
            sha256=crypto.sha256(package),
            request=lambda command: None,
        )
        result = UploadResult(before=Running())
        upload(
            meter,
            transfer,
            version=NEW_VERSION,
            block_bytes=BLOCK_BYTES,
            state=None,
            result=result,
        )
        slots = self._simulation.meter.updates.slots
        newest = slots.waiting or slots.running
        if self.is_protected and result.is_accepted and newest.version != NEW_VERSION:
            faults.append("an upload was reported accepted, and the meter has not taken it")

    def _held(self, name: str) -> object:
        part = self._catalogue.resolve(name)
        return self._catalogue.decode(part, self.memory.store.read(part, Role.SERVICE))

    def _compare(self, name: str, value: object, faults: list[str]) -> None:
        if self.is_protected and value != self._held(name):
            faults.append(f"{name} was given as {value!r:.100}")


_OPERATIONS: dict[str, Callable[[ReaderCase, Meter, list[str]], None]] = {
    "info": ReaderCase.info,
    "read": ReaderCase.read,
    "read an array": ReaderCase.read_array,
    "write": ReaderCase.write,
    "access": ReaderCase.access,
    "authenticate": ReaderCase.authenticate,
    "upload": ReaderCase.upload,
}


class ReaderFuzz:
    """A run.

    Args:
        seed: of its cases.
        clock: seconds that never go back, of this host.
        before: told the number of a case before it begins.
        after: told how far it is.
    """

    def __init__(
        self,
        seed: int,
        clock: Callable[[], float],
        *,
        before: Callable[[int], None] = lambda number: None,
        after: Callable[[ReaderOutcome], None] = lambda outcome: None,
    ) -> None:
        self.outcome = ReaderOutcome(seed=seed)
        self._clock = clock
        self._before = before
        self._after = after
        self._catalogue = Catalogue.load("ei4")

    def run(self, first: int, cases: int | None, for_s: float | None = None) -> ReaderOutcome:
        """Run cases one after the other.

        Args:
            first: the number of the first.
            cases: how many; None for no end.
            for_s: how long to go on; None for no end.
        """
        outcome, begun_s = self.outcome, self._clock()
        number = first
        while cases is None or number < first + cases:
            self._run_one(number)
            number += 1
            outcome.duration_s = self._clock() - begun_s
            self._after(outcome)
            if for_s is not None and outcome.duration_s >= for_s:
                break
        return outcome

    def _run_one(self, number: int) -> None:
        self.outcome.under_way = number
        self._before(number)
        case = ReaderCase(self.outcome.seed, number, self._catalogue)
        ended, faults = case.run()
        self.outcome.cases += 1
        self.outcome.ended[ended] += 1
        self.outcome.spoilt += case.meter.counts
        self.outcome.violations += [
            Violation(number=number, title=case.title, message=fault) for fault in faults
        ]
