"""Whether the device is alive and itself: what must hold after each case, and now and then.

After each case:

1. RESYNC is answered, within the time and the tries that any frame has;
2. NO_OPERATION is answered as it was before the first case (OK, as a rule);
3. the UMI ID is what it was, and what comes back are frames and packets;
4. the device's clock has not gone back: it would have started anew.

Every so many cases, and whenever it was slow to come back:

5. it runs the version that it ran;
6. a read that it refused to a guest before the first case is still refused;
7. its log has no restart that was not in it.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from umi_cli.application.codes import PacketType, ResultCode
from umi_cli.application.commands import NoOperation, ReadObject, ReadObjectReply
from umi_cli.application.packet import ENVELOPE_BYTES, Message
from umi_cli.application.payload import Command
from umi_cli.certify.bench import Bench, describe, describe_result, named
from umi_cli.certify.case import Failure
from umi_cli.certify.fuzz_bases import Subject
from umi_cli.certify.fuzz_send import OF_THE_DEVICE
from umi_cli.certify.fuzz_verdict import FuzzFailure, Trouble
from umi_cli.errors import LostError, MalformedError, UmiError
from umi_cli.link.frame import MAX_SEQUENCE, Frame, FrameType, LinkErrorCode
from umi_cli.types import Role, UmiCode, format_datetime

TRIES = 3  # of each frame of a check (protocol 2.3)
BUSY_S = 10.0  # how long a device may be at work on what a case has set going
BUSY_PAUSE_S = 0.2
CLOCK_TOLERANCE_S = 2  # of two readings, and of a device that trims its clock
LOG_TAIL = 8  # records of the event log that are looked at
RESTART_EVENT = 16
IDENTITY = UmiCode(0)
_VERSION = "active-software-version"
_BUSY = LinkErrorCode.BUSY.to_bytes(2, "little")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What the device was before the first case."""

    no_operation: int
    """The result code of NO_OPERATION."""
    identity: bytes
    """Its UMI ID, or what it answers instead."""
    version: bytes | None
    """What it runs; None if it does not say."""
    refused: UmiCode | None
    """An object that a guest may not read; None if there is none."""


class Watch:
    """Watches over a device.

    Args:
        subject: the device.
    """

    def __init__(self, subject: Subject) -> None:
        self._subject = subject
        self._known: Known | None = None
        self._ahead_s: int | None = None
        self._log: Counter[tuple[int, str]] = Counter()
        self.was_slow = False
        """The last check had to send a frame more than once."""
        self.asked: list[bytes] = []
        """The packets of the last check: a repeated sequence has their answers repeated."""
        self._sequence = 0
        self._late: list[Frame] = []

    @property
    def has_refused_object(self) -> bool:
        """Tell whether there is an object by which a gained privilege would be seen."""
        return self._known is not None and self._known.refused is not None

    def learn(self, bench: Bench) -> None:
        """Find out what the device is; `FuzzFailure` or `UmiError` if it does not answer."""
        no_operation, identity = self._stand(bench)
        self._known = Known(
            no_operation=no_operation.argument,
            identity=_told(identity),
            version=self._read(bench, _VERSION),
            refused=self._find_refused(bench),
        )
        self.accept_restart(bench)

    def accept_restart(self, bench: Bench) -> None:
        """Take the clock and the log as they are now: what has happened was reported."""
        self._ahead_s = None
        self._log = self._tail(bench) or self._log
        self._stand(bench)

    def accept_clock(self) -> None:
        """Take the clock as it is at the next check: a case may have set it."""
        self._ahead_s = None

    def check(self, bench: Bench) -> list[Frame]:
        """Check what must hold after each case; return the frames that came late.

        Raises:
            FuzzFailure: it does not hold.
            LostError: the port is gone.
        """
        known = self._known
        assert known is not None  # noqa: S101 - `learn` comes first
        noise = _noise(bench)
        message, identity = self._stand(bench)
        if message.argument != known.no_operation:
            raise FuzzFailure(
                Trouble.DISTURBED,
                f"answers NO_OPERATION with {describe_result(message)},"
                f" and with {named(known.no_operation)} before",
            )
        if _told(identity) != known.identity:
            raise FuzzFailure(
                Trouble.CHANGED,
                f"gives its UMI ID as {_told(identity).hex()}, and {known.identity.hex()} before",
            )
        if came := _noise(bench) - noise:
            raise FuzzFailure(Trouble.MALFORMED, f"sends {came} bytes that are no frame")
        self._check_clock(bench, identity)
        return [] if self.was_slow else self._late

    def check_deeply(self, bench: Bench) -> None:
        """Check what must hold as well; raises as `check` does."""
        known = self._known
        assert known is not None  # noqa: S101 - `learn` comes first
        bench.forget_link()
        version = self._read(bench, _VERSION)
        if version != known.version:
            before, now = (each.hex() if each else "nothing" for each in (known.version, version))
            raise FuzzFailure(Trouble.CHANGED, f"says that it runs {now}, and {before} before")
        if known.refused is not None:
            code = self._result(bench, known.refused)
            if code == ResultCode.OK:
                raise FuzzFailure(
                    Trouble.PRIVILEGE,
                    f"lets a guest read {known.refused}, which it refused before",
                )
        tail = self._tail(bench)
        new = tail - self._log
        self._log = tail or self._log  # what could not be read now is no news the next time
        self._stand(bench)
        restarts = sorted(at for number, at in new if number == RESTART_EVENT)
        if restarts:
            raise FuzzFailure(Trouble.RESTARTED, f"has logged a restart at {restarts[-1]}")

    # --- frames of the check --------------------------------------------------------------

    def _stand(self, bench: Bench) -> tuple[Message, Message]:
        """Leave the link as a case finds it; return what NO_OPERATION and the identity got."""
        self._sync(bench)
        return self._ask(bench, NoOperation()), self._ask(bench, ReadObject(code=IDENTITY))

    def _sync(self, bench: Bench) -> None:
        """Begin anew on the link; frames that come before its answer are late ones."""
        self.was_slow = False
        self._late, self.asked = [], []
        self._sequence = 0
        answer = self._exchange(bench, self._subject.addresses.frame(0, FrameType.RESYNC))
        if answer.frame_type != FrameType.RESYNC_RESPONSE:
            raise FuzzFailure(Trouble.DISTURBED, f"answers RESYNC with {describe(answer)}")

    def _ask(self, bench: Bench, command: Command[Any]) -> Message:
        """Send a command in a frame and return the message that answers it."""
        packet = bench.packet(command)
        self.asked.append(packet)
        until = bench.now_s + BUSY_S
        while True:
            self._sequence += 1
            frame = self._subject.addresses.frame(self._sequence, FrameType.SIMPLE, packet)
            answer = self._exchange(bench, frame)
            is_busy = answer.frame_type == FrameType.ERROR and answer.payload == _BUSY
            if not is_busy or bench.now_s >= until:
                break
            bench.wait(BUSY_PAUSE_S)
            if self._sequence == MAX_SEQUENCE:
                self._sync(bench)
        if answer.frame_type != FrameType.SIMPLE_RESPONSE:
            raise FuzzFailure(Trouble.DISTURBED, f"answers {command.title} with {describe(answer)}")
        return self._message(answer.payload, packet, command)

    def _message(self, payload: bytes, packet: bytes, command: Command[Any]) -> Message:
        try:
            message = Message.decode(payload[ENVELOPE_BYTES:])
        except MalformedError as error:
            failure = f"answers {command.title} with what is no packet: {error}"
            raise FuzzFailure(Trouble.MALFORMED, failure) from error
        if message.transaction != Message.decode(packet[ENVELOPE_BYTES:]).transaction:
            raise FuzzFailure(
                Trouble.MALFORMED, f"answers {command.title} under another transaction number"
            )
        return message

    def _exchange(self, bench: Bench, frame: Frame) -> Frame:
        """Send a frame until it is answered, and return the answer."""
        for number in range(TRIES):
            self.was_slow = self.was_slow or number > 0
            bench.send(frame)
            until = bench.now_s + bench.settings.answer_s
            while (left_s := until - bench.now_s) > 0:
                answer = bench.raw.receive(left_s)
                if answer is None or answer.frame_type in OF_THE_DEVICE:
                    continue
                if _answers(answer, frame):
                    return answer
                self._late.append(answer)
        raise FuzzFailure(
            Trouble.SILENT,
            f"no longer answers: {TRIES} times {FrameType(frame.frame_type).name}, and nothing came"
            f" within {bench.settings.answer_s:g} s",
        )

    # --- what is looked at now and then ---------------------------------------------------

    def _check_clock(self, bench: Bench, message: Message) -> None:
        """Compare the device's clock with ours: what it was ahead it must still be."""
        ahead_s = message.created_s - bench.meter.session.utc_s()
        before_s, self._ahead_s = self._ahead_s, ahead_s
        if before_s is not None and ahead_s < before_s - CLOCK_TOLERANCE_S:
            now = format_datetime(message.created_s)
            raise FuzzFailure(
                Trouble.RESTARTED, f"has set its clock back by {before_s - ahead_s} s, to {now}"
            )

    def _read(self, bench: Bench, name: str) -> bytes | None:
        """Return the bytes of an object; None if there is none, or it is refused."""
        if not bench.catalogue.has(name):
            return None
        message = self._request(bench, bench.catalogue.resolve(name).code)
        return _told(message) if message.argument == ResultCode.OK else None

    def _result(self, bench: Bench, code: UmiCode) -> int:
        return self._request(bench, code).argument

    def _request(self, bench: Bench, code: UmiCode) -> Message:
        try:
            return bench.result_of(ReadObject(code=code))
        except Failure as error:
            raise FuzzFailure(Trouble.SILENT, str(error)) from error

    def _find_refused(self, bench: Bench) -> UmiCode | None:
        """Return an object that guests may not read by the datasheet, nor in fact."""
        bench.forget_link()
        for definition in self._subject.objects:
            if Role.GUEST not in definition.read:
                code = self._result(bench, definition.code)
                if code == ResultCode.ACCESS_DENIED:
                    return definition.code
        return None

    def _tail(self, bench: Bench) -> Counter[tuple[int, str]]:
        """Return the last records of the event log, number and time; none if it does not say."""
        bench.forget_link()
        try:
            status = bench.meter.read("event-status").value
            count = status["entries"] if isinstance(status, Mapping) else 0
            if not isinstance(count, int) or not count:
                return Counter()
            first = max(0, count - LOG_TAIL)
            records = bench.meter.read(f"event-table[{first}:{count - 1}]").value
        except LostError:
            raise
        except UmiError:
            return Counter()
        return Counter(_logged(record) for record in records)  # type: ignore[union-attr]


def _noise(bench: Bench) -> int:
    """Return how many bytes the device has sent that were part of no frame."""
    return bench.raw.noise_bytes - bench.raw.empty_bytes


def _logged(record: Any) -> tuple[int, str]:
    number = record["event"]
    return int(getattr(number, "number", number)), str(record["timestamp"])


def _told(message: Message) -> bytes:
    """Return the value that a response to READ_OBJECT holds, or its result code instead."""
    if message.argument != ResultCode.OK or message.packet_type == PacketType.ERROR:
        return bytes([message.argument])
    try:
        return ReadObjectReply.decode(message.payload).value
    except MalformedError as error:
        failure = f"answers READ_OBJECT with a payload that is none: {error}"
        raise FuzzFailure(Trouble.MALFORMED, failure) from error


def _answers(answer: Frame, frame: Frame) -> bool:
    """Tell whether a frame answers another one, as far as the link can tell."""
    is_resync = frame.frame_type == FrameType.RESYNC
    is_of_resync = answer.frame_type == FrameType.RESYNC_RESPONSE
    return answer.sequence == frame.sequence and is_resync == is_of_resync
