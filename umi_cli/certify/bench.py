"""What a test does with the device: frames and packets, right or wrong, and what comes back.

Longer than others: all that a test is handed is one object, so that a test is its own few lines.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.commands import Complete
from umi_cli.application.packet import ENVELOPE_BYTES, Envelope, Message
from umi_cli.application.payload import Command, Payload
from umi_cli.application.security_commands import S1AuthLogout, S2GetCertificate
from umi_cli.certificates.cvc import Certificate
from umi_cli.certify.case import Failure, Need, NoScheme2, NotApplicable, expect, fail
from umi_cli.certify.evidence import Recorder
from umi_cli.certify.raw_line import RawLine
from umi_cli.crypto import Signer
from umi_cli.device.credentials import Scheme1Credentials, Scheme2Credentials
from umi_cli.device.driver import InDoubtError
from umi_cli.device.meter import Meter
from umi_cli.device.protection import Protection
from umi_cli.device.protection1 import Scheme1
from umi_cli.device.protection2 import Scheme2
from umi_cli.device.session import Session
from umi_cli.errors import MalformedError, RefusedError, UmiError
from umi_cli.link.frame import MAX_SEQUENCE, Frame, FrameType, LinkErrorCode
from umi_cli.objects.catalogue import Catalogue
from umi_cli.transports.base import Board
from umi_cli.types import UNKNOWN_DEVICE, Role, UmiId

R = TypeVar("R", bound=Payload)

MAX_WAITS = 100
KEEP_ALIVE_S = 20.0  # a third of the shortest time after which a port closes

_NO_SCHEME2 = (
    ResultCode.UNKNOWN_PACKET_TYPE,
    ResultCode.NOT_IMPLEMENTED,
    ResultCode.NO_CERTIFICATE,
)
_OF_THE_DEVICE = (FrameType.SIMPLE, FrameType.RESYNC)
"""What a Peripheral says of its own accord, while a test waits for an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchSettings:
    """How patient the bench is, and what it has to prove itself with."""

    answer_s: float
    """How long the device may take to answer a frame, without the time on the wire."""
    quiet_s: float
    """How long a silence must last to be one."""
    kind: str = "tcp"
    """Of the address: `opto`, `spi`, `tcp` …"""
    seed: int = 0
    """Of everything that a test leaves to chance."""
    credentials: Scheme2Credentials | None = field(default=None, repr=False)
    role_key: Scheme1Credentials | None = field(default=None, repr=False)
    authority: tuple[Certificate, Signer] | None = field(default=None, repr=False)
    """A signing authority that the device trusts, and its key."""
    board: Board | None = None
    """The pins of the port, where we are the Host."""
    power: Callable[[], None] | None = None
    """Switches the device off and on, and returns when it may be spoken to again."""


class Bench:
    """The device under test, and everything that a test may do with it.

    Args:
        meter: open, as guest; its observer is the recorder.
        recorder: keeps what passes.
        settings: how patient it is, and what it has.
    """

    def __init__(self, meter: Meter, recorder: Recorder, settings: BenchSettings) -> None:
        self.meter = meter
        self.recorder = recorder
        self.settings = settings
        self.raw = RawLine(meter.transport, recorder)
        self.random = Random(settings.seed)  # noqa: S311 - what a test tries, nothing secret
        self.sequence = 0
        """Of the last frame that was made."""
        self.own = 0
        """Our link address."""
        self.peer = 0
        """The device's."""
        self._transaction = 0
        self.notes: list[str] = []
        """What the test has measured: it stands in the report though the test has passed."""
        self._cleanups: list[Callable[[], None]] = []

    # --- the run of a test ----------------------------------------------------------------

    def begin(self, number: str) -> None:
        """Start over for a test: chance is its own, and nothing of another one is under way.

        Raises:
            Failure: the device does not answer a RESYNC, and could not be brought back.
            UmiError: the port is gone.
        """
        self.recorder.begin()
        self.notes.clear()
        self.random = Random(f"{self.settings.seed}/{number}")  # noqa: S311
        self.meet()

    def meet(self) -> None:
        """Have the device answer a RESYNC, whatever was under way; raises as `begin` does."""
        self.meter.session.abandon()
        self.raw.drain(self.settings.quiet_s / 10)
        try:
            self.sync()
        except Failure:  # the test before cost it its session on the port, or its senses
            self.meter.transport.recover()
            self.sync()
        self.forget_link()

    def at_end(self, clean_up: Callable[[], None]) -> None:
        """Have something done when the test has ended, however it ended."""
        self._cleanups.append(clean_up)

    def end(self) -> None:
        """Do what tests have asked for, the last first; `UmiError` if the device is gone."""
        while self._cleanups:
            self._cleanups.pop()()

    def forget_link(self) -> None:
        """Have the sound link start over with a RESYNC, after frames were sent behind its back."""
        self.meter.session.link.reset()

    @property
    def catalogue(self) -> Catalogue:
        """Return the datasheet that the device is measured against."""
        return self.meter.catalogue

    @property
    def now_s(self) -> float:
        """Return the time of the port's clock: seconds that never go back."""
        return self.meter.transport.clock.monotonic()

    def cycle_power(self) -> None:
        """Switch the device off and on, and begin anew on the link; `NotApplicable` if we cannot.

        Raises:
            UmiError: it does not come back.
        """
        if self.settings.power is None:
            raise NotApplicable("nothing here switches the device's power")
        self.settings.power()
        self.forget_link()

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.meter.transport.clock.sleep(seconds)

    def outlast(self, seconds: float) -> None:
        """Let time pass, and keep an optical port open meanwhile: it closes when nobody speaks."""
        until = self.now_s + seconds
        while (left_s := until - self.now_s) > 0:
            self.wait(min(left_s, KEEP_ALIVE_S))
            self.sync()
        self.forget_link()

    def board(self) -> Board:
        """Return the pins of the port; `NotApplicable` where there are none."""
        if self.settings.board is None:
            raise NotApplicable("there are no pins: we are not the Host")
        return self.settings.board

    # --- the link, by hand ----------------------------------------------------------------

    def sync(self) -> Frame:
        """Send RESYNC and return the answer; the addresses it gives hold from now on.

        Raises:
            Failure: the answer is none to a RESYNC.
        """
        driver = self.meter.session.driver
        link = driver.link
        self.sequence = 0
        answer = self.exchange(
            Frame(
                sequence=0,
                frame_type=FrameType.RESYNC,
                destination=driver.port or link.addresses.peer,
                source=link.addresses.own,
            )
        )
        if answer.frame_type != FrameType.RESYNC_RESPONSE:
            fail(f"RESYNC was answered with {describe(answer)}")
        self.own, self.peer = answer.destination, answer.source
        return answer

    def frame(self, payload: bytes = b"", **fields: Any) -> Frame:
        """Return the next command frame.

        Args:
            payload: of the frame.
            fields: of `Frame`, where they are not those of a sound SIMPLE frame. A sequence that
                is given does not count as the next one.
        """
        if "sequence" not in fields:
            self.sequence = self.sequence % MAX_SEQUENCE + 1
        sound: dict[str, Any] = {
            "sequence": self.sequence,
            "frame_type": FrameType.SIMPLE,
            "destination": self.peer,
            "source": self.own,
            "payload": payload,
        }
        return Frame(**{**sound, **fields})

    def send(self, frame: Frame | bytes) -> None:
        """Send a frame, or bytes as they stand."""
        self.raw.send(frame.encode() if isinstance(frame, Frame) else frame)

    def answer(self, *, wait_s: float | None = None) -> Frame:
        """Return the next frame that is no command of the device's own; `Failure` if none comes."""
        patience_s = self.settings.answer_s if wait_s is None else wait_s
        deadline = self.now_s + patience_s
        noise = self.raw.noise_bytes
        while (left_s := deadline - self.now_s) > 0:
            frame = self.raw.receive(left_s)
            if frame and frame.frame_type not in _OF_THE_DEVICE:
                return frame
        came = self.raw.noise_bytes - noise
        noise_text = f"; {came} bytes came that are no frame with a right CRC" if came else ""
        raise Failure(f"no answer within {patience_s:g} s{noise_text}")

    def exchange(self, frame: Frame | bytes) -> Frame:
        """Send a frame and return what answers it; `Failure` if nothing does."""
        self.send(frame)
        return self.answer()

    def silence(self, frame: Frame | bytes) -> None:
        """Send what must not be answered; `Failure` if it is."""
        self.send(frame)
        for answer in self.raw.drain(self.settings.quiet_s):
            if answer.frame_type not in _OF_THE_DEVICE:
                fail(f"it was answered, with {describe(answer)}")

    # --- packets, by hand -----------------------------------------------------------------

    def message(self, command: Command[Any], **fields: Any) -> Message:
        """Return a command as a message, with the next transaction number.

        Args:
            command: what to say.
            fields: of `Message`, where they are not the sound ones.
        """
        self._transaction = (self._transaction + 1) & 0xFFFF
        sound: dict[str, Any] = {
            "transaction": self._transaction,
            "created_s": self.meter.session.utc_s(),
            "packet_type": command.TYPE,
            "payload": command.encode(),
        }
        return Message(**{**sound, **fields})

    def envelope(self, **fields: Any) -> Envelope:
        """Return the envelope of a command of ours; `fields` are those that are not sound."""
        sound: dict[str, Any] = {
            "source": self.meter.session.own_id,
            "destination": UNKNOWN_DEVICE,
        }
        return Envelope(**{**sound, **fields})

    def packet(self, command: Command[Any], **fields: Any) -> bytes:
        """Return a sound packet of a command; `fields` are of `Message`."""
        return self.envelope().encode() + self.message(command, **fields).encode()

    def transact(self, packet: bytes, command: Command[Any]) -> bytes:
        """Carry a packet over a sound link, fragments and repeats included; return the answer.

        Args:
            packet: right or wrong.
            command: what an error message calls it.

        Raises:
            Failure: nothing answers it.
        """
        try:
            return self.meter.session.driver.transact(packet, command)
        except InDoubtError as error:
            raise Failure(f"no answer to {command.title}: {error.cause}") from error

    def ask(self, packet: bytes, command: Command[Any]) -> Message:
        """Carry a packet and return the message that answers it, in the clear.

        Raises:
            Failure: nothing answers it, or what does is no packet.
        """
        answer = self.transact(packet, command)
        try:
            return Message.decode(answer[ENVELOPE_BYTES:])
        except MalformedError as error:
            raise Failure(f"the answer to {command.title} is no packet: {error}") from error

    def result_of(self, command: Command[Any], **fields: Any) -> Message:
        """Send a sound packet of a command and return its response, whatever its result.

        One that is deferred is waited for.
        """
        message = self.ask(self.packet(command, **fields), command)
        for _ in range(MAX_WAITS):
            if message.packet_type != PacketType.WAIT or message.argument != ResultCode.OK:
                return message
            self.wait(int.from_bytes(message.payload, "little") / 1000)
            fetch = self.packet(Complete(), transaction=message.transaction)
            message = self.ask(fetch, Complete())
        raise Failure(f"{command.title} was deferred {MAX_WAITS} times")

    def request(self, command: Command[R]) -> R:
        """Send a command as guest, and return its reply; `Failure` if it is refused."""
        try:
            return self.meter.session.request_in_clear(command)
        except RefusedError as error:
            raise Failure(f"{command.title} was refused: {error}") from error
        except MalformedError as error:
            raise Failure(f"the reply to {command.title} is malformed: {error}") from error

    def refused(self, command: Command[Any], *codes: ResultCode, **fields: Any) -> Message:
        """Send a command that must be refused with one of the result codes; `Failure` if not."""
        message = self.result_of(command, **fields)
        expect_result(message, command.title, *codes)
        return message

    # --- what a test needs ----------------------------------------------------------------

    @property
    def has(self) -> frozenset[Need]:
        """Return what there is of what tests need, but for what the user must allow."""
        settings = self.settings
        found = {
            Need.CREDENTIALS: settings.credentials is not None,
            Need.ROLE_KEY: settings.role_key is not None,
            Need.AUTHORITY: settings.authority is not None,
            Need.POWER: settings.power is not None,
            Need.OPTICAL: settings.kind == "opto",
            Need.SPI: settings.kind == "spi",
            Need.BOARD: settings.board is not None,
        }
        return frozenset(need for need, is_there in found.items() if is_there)

    @contextmanager
    def secured(self) -> Iterator[Meter]:
        """Open the device in the role that we can prove, and end the session at the end.

        Raises:
            NotApplicable: we have nothing to prove ourselves with, or the device no scheme 2.
            Failure: the device does not let us.
        """
        session = Session(
            self.meter.transport,
            own_id=self._secured_id,
            protection=self._protection(),
            driver=self.meter.session.driver,
        )
        try:
            session.begin()
        except UmiError as error:
            if self.settings.credentials is not None:
                self.expect_scheme2()
            raise Failure(f"no session came about: {error}") from error
        try:
            yield Meter(self.meter.transport, session, self.catalogue)
        finally:
            _leave(session)

    def _protection(self) -> Protection:
        if self.settings.credentials is not None:
            return Scheme2(self.settings.credentials)
        if self.settings.role_key is not None:
            return Scheme1(self.settings.role_key)
        raise NotApplicable("no --key was given")

    def expect_scheme2(self) -> None:
        """Go on if the device shows a certificate of its own; `NoScheme2` if it has none."""
        own = S2GetCertificate(subject=self.meter.session.identify())
        if self.result_of(own).argument in _NO_SCHEME2:
            raise NoScheme2("the device has no certificate, so no scheme 2")

    @property
    def _secured_id(self) -> UmiId:
        """Return who we are where we prove it: the subject of our certificate (protocol 6.4)."""
        credentials = self.settings.credentials
        return (
            self.meter.session.own_id
            if credentials is None
            else credentials.certificate.body.subject
        )

    def log_out(self) -> None:
        """Be a guest again, whatever scheme 1 has proved (protocol 6.2)."""
        with suppress(Failure):
            self.result_of(S1AuthLogout())

    @property
    def role(self) -> Role:
        """Return the role that we can prove; `NotApplicable` if there is none."""
        if self.settings.credentials is not None:
            return self.settings.credentials.role
        if self.settings.role_key is not None:
            return self.settings.role_key.role
        raise NotApplicable("no --key was given")

    def credentials(self) -> Scheme2Credentials:
        """Return what we prove ourselves with; `NotApplicable` without."""
        if self.settings.credentials is None:
            raise NotApplicable("no --key and --cert were given")
        return self.settings.credentials

    def role_key(self) -> Scheme1Credentials:
        """Return the scheme 1 key of a role; `NotApplicable` without."""
        if self.settings.role_key is None:
            raise NotApplicable("no --role-key was given")
        return self.settings.role_key

    def authority(self) -> tuple[Certificate, Signer]:
        """Return the authority that the device trusts, and its key; `NotApplicable` without."""
        if self.settings.authority is None:
            raise NotApplicable("no --ca-key and --ca-cert were given")
        return self.settings.authority


def _leave(session: Session) -> None:
    """End a session on the device; one that broke is begun anew, so that it can be ended."""
    if not session.standing.is_authenticated:
        with suppress(UmiError, InDoubtError):
            session.begin()
    session.finish()


def describe(frame: Frame) -> str:
    """Return a frame in words, for a failure."""
    name = _name(FrameType, frame.frame_type)
    text = f"{name} sequence {frame.sequence}, to {frame.destination} from {frame.source}"
    if frame.frame_type == FrameType.ERROR and len(frame.payload) == 2:
        return f"{text}: {_name(LinkErrorCode, int.from_bytes(frame.payload, 'little'))}"
    return f"{text}, {len(frame.payload)} bytes"


def describe_result(message: Message) -> str:
    """Return the result of a response in words."""
    kind = _name(PacketType, message.packet_type)
    return f"{kind} {_name(ResultCode, message.argument)} ({message.argument})"


def expect_result(message: Message, title: str, *codes: ResultCode) -> None:
    """Go on if a response has one of the results; `Failure` if not."""
    wanted = " or ".join(f"{code.name} ({code.value})" for code in codes)
    expect(
        message.argument in codes,
        f"{title} was answered with {describe_result(message)} instead of {wanted}",
    )


def is_error(frame: Frame, code: LinkErrorCode) -> bool:
    """Say if a frame is a certain link ERROR."""
    return frame.frame_type == FrameType.ERROR and frame.payload == code.to_bytes(2, "little")


def expect_error(frame: Frame, code: LinkErrorCode) -> None:
    """Go on if a frame is the link ERROR that it must be; `Failure` if not."""
    expect(
        is_error(frame, code),
        f"it was answered with {describe(frame)} instead of ERROR {code.name}",
    )


def result_of(meter: Meter, command: Command[Any]) -> int:
    """Return the result code that a command has in a session."""
    try:
        meter.session.request(command)
    except RefusedError as error:
        return error.number
    return int(ResultCode.OK)


def named(code: int) -> str:
    """Return a result code in words."""
    return f"{_name(ResultCode, code)} ({code})"


def _name(names: Any, number: int) -> str:
    try:
        return str(names(number).name)
    except ValueError:
        return f"{names.__name__} {number}"
