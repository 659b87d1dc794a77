"""One conversation with one device: a command goes out, its reply comes back, or an error.

Sources: protocol 2.3 (what may be repeated), 3.1 (how a response is bound to its command),
3.2 (WAIT and COMPLETE).
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar, cast

from umi_cli.application.codes import PacketType, ResultCode, refusal
from umi_cli.application.commands import Complete, Wait
from umi_cli.application.packet import MAX_PACKET_BYTES, Envelope, Message
from umi_cli.application.payload import Command, Payload
from umi_cli.errors import (
    InputError,
    LinkError,
    LostError,
    MalformedError,
    NoAnswerError,
    OutcomeUnknownError,
    RefusedError,
    UmiError,
)
from umi_cli.link.connection import LinkConnection
from umi_cli.link.events import (
    Event,
    ExchangeFailed,
    FragmentErrorReceived,
    LinkErrorReceived,
    LinkSettings,
    ResponseReceived,
)
from umi_cli.link.fragment import FragmentErrorCode
from umi_cli.link.frame import LinkErrorCode
from umi_cli.security.scheme import Scheme
from umi_cli.security.scheme0 import Scheme0
from umi_cli.transports.base import Transport
from umi_cli.types import DEFAULT_READER_ID, EPOCH_UNIX_S, UNKNOWN_DEVICE, Role, UmiId

R = TypeVar("R", bound=Payload)

RECOVERIES = 3  # how often a command that may be repeated is given again after a RESYNC
BUSY_PAUSE_S = 0.2  # between tries while the device is busy with another transaction
BUSY_TRIES = 25  # 5 s in all
MAX_WAITS = 1000  # a device that answers WAIT for ever is not waited for
_OF_COMPLETE = (PacketType.WAIT, PacketType.ERROR)  # a refusal of COMPLETE, not of its command
_TEMPORARY = (LinkErrorCode.BUSY, LinkErrorCode.CANNOT_FORWARD)

Observer = Callable[[str, bytes], None]
"""Told every piece of bytes: `"out"` or `"in"`, and the bytes."""


class PacketTooLargeError(LinkError):
    """The device cannot take a packet of that length."""

    code = "packet-too-large"
    default_hint = "write fewer elements at a time, such as PART[0:99]"


class _InDoubtError(Exception):
    """An exchange came to nothing. The cause is what the user is told, if nothing helps."""

    def __init__(self, cause: UmiError, *, may_have_run: bool) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.may_have_run = may_have_run


class Session:
    """Requests to the device at the other end of a transport.

    Args:
        transport: an open port; the session does not close it.
        own_id: our UMI ID.
        scheme: how packets are sealed.
        attempts: how often a frame is sent in all.
        timeout_s: how long the device may take to answer a frame; the transport's default if None.
        port: the link address to command; whoever answers RESYNC if None.
        dry_run: refuse to send what changes the device.
        observer: told every piece of bytes that passes.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        own_id: UmiId = DEFAULT_READER_ID,
        scheme: Scheme | None = None,
        attempts: int = 3,
        timeout_s: float | None = None,
        port: int | None = None,
        dry_run: bool = False,
        observer: Observer | None = None,
    ) -> None:
        self.own_id = own_id
        self.device_id = UNKNOWN_DEVICE
        self.dry_run = dry_run
        self._transport = transport
        self._clock = transport.clock
        self._scheme = scheme or Scheme0()
        self._port = port
        self._observer = observer
        self._transaction = -1
        self._replies = 0
        self.link = LinkConnection(
            LinkSettings(
                timeout_s=transport.timeout_s if timeout_s is None else timeout_s,
                attempts=attempts,
                idle_gap_s=transport.idle_gap_s,
                byte_time_s=transport.byte_time_s,
            )
        )

    @property
    def scheme_number(self) -> int:
        """Return the security scheme that packets are sealed under."""
        return self._scheme.number

    @property
    def role(self) -> Role:
        """Return the role we act in; without authentication everyone is guest (protocol 6.1)."""
        return Role.GUEST

    def request(self, command: Command[R]) -> R:
        """Send a command and return its reply.

        A command that changes nothing is given again after a RESYNC when its answer was lost; one
        that changes the device is not (protocol 2.3).

        Raises:
            RefusedError: the device refused it with a result code.
            NoAnswerError: nothing ever came back.
            LinkError: the link failed beyond the retries.
            LostError: the device answered before, and no longer does.
            OutcomeUnknownError: the command was sent, and nobody can tell whether it ran.
            MalformedError: the device's packets do not have the form they must have.
            InputError: the command changes the device, and this is a dry run.
        """
        if self.dry_run and command.CHANGES:
            raise InputError(f"{command.title} changes the device, and this is a dry run")
        failure: _InDoubtError | None = None
        for _ in range(RECOVERIES + 1):
            try:
                return cast(R, self._exchange(command))
            except _InDoubtError as error:
                failure = error
            if command.CHANGES and failure.may_have_run:
                raise OutcomeUnknownError(
                    f"{command.title} was sent and its answer was lost ({failure.cause}): "
                    "unknown whether it ran"
                ) from failure.cause
            if isinstance(failure.cause, NoAnswerError):
                break
        assert failure is not None  # noqa: S101 - the loop ran at least once
        raise failure.cause

    def utc_s(self) -> int:
        """Return the host's time as a UMI datetime."""
        return int(self._clock.utc()) - EPOCH_UNIX_S

    def _exchange(self, command: Command[Any]) -> Payload:
        transaction = self._next_transaction()
        try:
            message = self._send(command, transaction)
            if _is_wait(message):
                message = self._await(command, message, transaction)
            return _reply_of(command, message)
        except MalformedError as error:
            raise _InDoubtError(error, may_have_run=True) from error

    def _await(self, command: Command[Any], message: Message, transaction: int) -> Message:
        """Return the response that was deferred.

        The device has taken the command: whatever fails from here on, it may have run.
        """
        try:
            for _ in range(MAX_WAITS):
                self._pause(Wait.decode(message.payload).wait_ms / 1000)
                message = self._send(Complete(), transaction)
                if not _is_wait(message):
                    break
            else:
                raise LinkError(f"the device deferred {command.title} {MAX_WAITS} times")
            if message.packet_type in _OF_COMPLETE and message.argument != ResultCode.OK:
                raise refusal(message.argument, Complete().title)
        except _InDoubtError as error:
            raise _InDoubtError(error.cause, may_have_run=True) from error
        except LinkError as error:
            if not command.CHANGES:
                raise  # it would be deferred again
            raise _InDoubtError(error, may_have_run=True) from error
        except RefusedError as error:
            raise _InDoubtError(error, may_have_run=True) from error
        return message

    def _next_transaction(self) -> int:
        self._transaction = (self._transaction + 1) & 0xFFFF
        return self._transaction

    def _send(self, command: Command[Any], transaction: int) -> Message:
        envelope = Envelope(
            source=self.own_id,
            destination=self.device_id,
            encryption_scheme=self._scheme.number,
        )
        message = Message(
            transaction=transaction,
            created_s=self.utc_s(),
            packet_type=command.TYPE,
            payload=command.encode(),
        )
        packet = self._scheme.seal(envelope, message)
        if len(packet) > MAX_PACKET_BYTES:
            raise PacketTooLargeError(
                f"{command.title} makes a packet of {len(packet)} bytes, {MAX_PACKET_BYTES} fit"
            )
        return self._open(self._transact(packet, command), envelope, message)

    def _open(self, packet: bytes, envelope: Envelope, command: Message) -> Message:
        """Take a response apart and make sure that it answers this command (protocol 3.1)."""
        answer, message = self._scheme.open(packet)
        if answer.destination != envelope.source or (
            envelope.destination not in (answer.source, UNKNOWN_DEVICE)
        ):
            raise MalformedError(
                f"the response goes from {answer.source} to {answer.destination}, "
                f"the command went from {envelope.source} to {envelope.destination}"
            )
        if message.transaction != command.transaction:
            raise MalformedError(
                f"the response has transaction number {message.transaction}, "
                f"the command had {command.transaction}"
            )
        if message.signature_scheme != command.argument:
            raise MalformedError(
                f"the response is signed under scheme {message.signature_scheme}, "
                f"{command.argument} was asked for"
            )
        return message

    def _transact(self, packet: bytes, command: Command[Any]) -> bytes:
        for _ in range(BUSY_TRIES):
            event = self._link_exchange(packet)
            if isinstance(event, ResponseReceived):
                self._replies += 1
                return event.packet
            if not isinstance(event, LinkErrorReceived) or event.number not in _TEMPORARY:
                break
            self._pause(BUSY_PAUSE_S)
        raise self._failure(event, command)

    def _link_exchange(self, packet: bytes) -> Event:
        """Run one link exchange to its end; `_InDoubtError` if the port was lost."""
        try:
            self.link.command(packet, self._clock.monotonic(), self._port)
            while True:
                self._flush()
                events = self._pump(self.link.deadline)
                if events:
                    with suppress(LostError):  # the event stands, and the next command will tell
                        self._flush()  # what acknowledges the last fragment
                    return events[0]
        except LostError as error:
            ended = self.link.abort(str(error))
            raise _InDoubtError(error, may_have_run=ended is None or ended.may_have_run) from error

    def _failure(self, event: Event, command: Command[Any]) -> Exception:
        if isinstance(event, LinkErrorReceived):
            return _link_error(event.number, command)
        if isinstance(event, FragmentErrorReceived):
            return _fragment_error(event.number, command)
        assert isinstance(event, ExchangeFailed)  # noqa: S101 - a commander gets no other event
        return _InDoubtError(self._silence(event), may_have_run=event.may_have_run)

    def _silence(self, event: ExchangeFailed) -> UmiError:
        where = self._transport.address
        if self._replies:
            return LostError(f"{where} answered before and no longer does: {event.reason}")
        if self.link.frames_received:
            return LinkError(f"{where} answers, but not this command: {event.reason}")
        if self.link.noise_bytes:
            return LinkError(
                f"{where} sends bytes ({self.link.noise_bytes}), none of them a UMI frame",
                hint="check the rate and that the device speaks UMI link frames",
            )
        return NoAnswerError(f"{where} does not answer: {event.reason}")

    def _pause(self, pause_s: float) -> None:
        """Wait, taking in whatever comes meanwhile."""
        until = self._clock.monotonic() + pause_s
        while self._clock.monotonic() < until:
            try:
                self._pump(until)
            except LostError as error:
                raise _InDoubtError(error, may_have_run=True) from error

    def _pump(self, deadline: float | None) -> list[Event]:
        data = self._transport.receive(deadline or self._clock.monotonic())
        if data and self._observer:
            self._observer("in", data)
        now = self._clock.monotonic()
        return (self.link.receive_data(data, now) if data else []) + self.link.on_timer(now)

    def _flush(self) -> None:
        for frame in self.link.frames_to_send():
            if self._observer:
                self._observer("out", frame)
            self._transport.send(frame)


def _is_wait(message: Message) -> bool:
    return message.packet_type == PacketType.WAIT and message.argument == ResultCode.OK


def _reply_of(command: Command[Any], message: Message) -> Payload:
    if message.argument != ResultCode.OK:
        raise refusal(message.argument, command.title)
    expected = {command.REPLY.TYPE}
    if command.REPLY.TYPE == PacketType.GET_OBJECT_ACCESS_RESPONSE:
        expected.add(PacketType.GET_OBJECT_ACCESS)  # the field client's number for it, protocol 3.2
    if message.packet_type not in expected:
        raise MalformedError(
            f"{command.title} was answered with packet type 0x{message.packet_type:02x}"
        )
    reply = command.REPLY.decode(message.payload)
    for name in ("code", "part"):
        asked = getattr(command, name, None)
        if asked != getattr(reply, name, asked):
            raise MalformedError(f"{command.title} was answered for {getattr(reply, name)}")
    return reply


def _link_error(number: int, command: Command[Any]) -> UmiError:
    known = number in LinkErrorCode.__members__.values()
    name = LinkErrorCode(number).name if known else f"link error {number}"
    hint = ""
    if number == LinkErrorCode.BAD_ADDRESS:
        hint = "no port has this address: leave /N off the address for the Host itself"
    return LinkError(f"the link refused {command.title}: {name} ({number})", hint=hint)


def _fragment_error(number: int, command: Command[Any]) -> Exception:
    if number == FragmentErrorCode.PACKET_TOO_LARGE:
        return PacketTooLargeError(f"the device cannot take a packet as long as {command.title}")
    known = number in FragmentErrorCode.__members__.values()
    name = FragmentErrorCode(number).name if known else "unknown"
    error = LinkError(f"the device could not join our fragments: {name} ({number})")
    return _InDoubtError(error, may_have_run=False)
