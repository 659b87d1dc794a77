"""One conversation with one device: a command goes out, its reply comes back, or an error.

Sources: protocol 2.3 (what may be repeated), 3.1 (how a response is bound to its command),
3.2 (WAIT and COMPLETE), 6 (how a session is protected).

Longer than others: whether a command may be sent again is decided in this one place.
"""

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar, cast

from umi_cli.application.codes import PacketType, ResultCode, refusal
from umi_cli.application.commands import Complete, ReadObject, Wait
from umi_cli.application.packet import MAX_PACKET_BYTES, Envelope, Message
from umi_cli.application.payload import Command, Payload
from umi_cli.device.driver import HostEnd, InDoubtError, LinkDriver, Observer
from umi_cli.device.offline import SignedCommand
from umi_cli.device.protection import Protection, Standing, Unprotected
from umi_cli.errors import (
    InputError,
    LinkError,
    LostError,
    MalformedError,
    NoAnswerError,
    OutcomeUnknownError,
    PacketTooLargeError,
    RefusedError,
    SessionDeadError,
    SignatureError,
    UmiError,
)
from umi_cli.link.connection import LinkConnection
from umi_cli.link.events import LinkSettings
from umi_cli.link.frame import HOST_ADDRESS, Direction
from umi_cli.security.signatures import SCHEME_MAC
from umi_cli.transports.base import Transport
from umi_cli.types import DEFAULT_READER_ID, EPOCH_UNIX_S, UNKNOWN_DEVICE, UmiCode, UmiId

R = TypeVar("R", bound=Payload)
Witness = Callable[[Direction, Envelope, Message], None]
"""Told every message: `"out"` before it is sealed, `"in"` after it was opened."""

RECOVERIES = 3  # how often a command that may be repeated is given again after a RESYNC
MAX_WAITS = 1000  # a device that answers WAIT for ever is not waited for
UMI_ID_OBJECT = UmiCode(0)  # umi.0.0.0.0
UMI_ID_BYTES = 8
_OF_COMPLETE = (PacketType.WAIT, PacketType.ERROR)
_SPOILT = (MalformedError, SignatureError, LostError, LinkError, NoAnswerError)
_UNBELIEVED = (MalformedError, SignatureError, SessionDeadError)


class Session:
    """Requests to the device at the other end of a transport.

    Args:
        transport: an open port; the session does not close it.
        own_id: our UMI ID.
        protection: what is proved, sealed and signed; nothing if None.
        attempts: how often a frame is sent in all.
        timeout_s: how long the device may take to answer a frame; the transport's default if None.
        port: the link address to command; whoever answers RESYNC if None.
        dry_run: refuse to send what changes the device.
        observer: told every piece of bytes that passes.
        witness: told every message in the clear.
        host: what answers the device's own commands, where we are its Host.
        driver: the link, if another session of ours is on it already.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        own_id: UmiId = DEFAULT_READER_ID,
        protection: Protection | None = None,
        attempts: int = 3,
        timeout_s: float | None = None,
        port: int | None = None,
        dry_run: bool = False,
        observer: Observer | None = None,
        witness: Witness | None = None,
        host: HostEnd | None = None,
        driver: LinkDriver | None = None,
    ) -> None:
        self.own_id = own_id
        self.device_id = UNKNOWN_DEVICE
        self.dry_run = dry_run
        self.unanswered: Command[Any] | None = None
        """What was sent to change the device when something else than an error put an end to it."""
        self._clock = transport.clock
        self._witness = witness or (lambda direction, envelope, message: None)
        self._unprotected = Unprotected()
        self._protection = protection or self._unprotected
        # Protocol 3.1 counts up from 0; but under scheme 1 the number is all that ties a response
        # to its command: counted from 0, one recorded yesterday would do today.
        is_tied = self._protection.number != SCHEME_MAC
        self._transaction = -1 if is_tied else secrets.randbelow(1 << 16)
        self._device_ahead_s = 0
        self._is_time_proved = False
        self._is_preparing = False
        settings = LinkSettings(
            timeout_s=transport.timeout_s if timeout_s is None else timeout_s,
            attempts=attempts,
            idle_gap_s=transport.idle_gap_s,
            byte_time_s=transport.byte_time_s,
            accepts_commands=host is not None,
        )
        self._driver = driver or LinkDriver(
            transport,
            settings,
            port=port,
            observer=observer,
            host=host,
            patience_s=timeout_s,
        )

    @property
    def link(self) -> LinkConnection:
        """Return our end of the link."""
        return self._driver.link

    @property
    def driver(self) -> LinkDriver:
        """Return what carries packets over the link, for who makes packets of his own."""
        return self._driver

    @property
    def standing(self) -> Standing:
        """Return what has been proved, and to whom."""
        return self._protection.standing

    @property
    def device_now_s(self) -> int:
        """Return the device's time as its last response told it, as a UMI datetime."""
        return self.utc_s() + self._device_ahead_s

    def utc_s(self) -> int:
        """Return the host's time as a UMI datetime; 0, "not set", if it is before 2000.

        A Raspberry Pi has no clock of its own: without a network it is 1970 there.
        """
        return max(0, int(self._clock.utc()) - EPOCH_UNIX_S)

    def request(self, command: Command[R], *, is_signed: bool = False) -> R:
        """Send a command and return its reply.

        A command that changes nothing is given again after a RESYNC when its answer was lost; one
        that changes the device is not (protocol 2.3). A session that is in doubt is thrown away,
        and another one begun.

        Args:
            command: what to send.
            is_signed: sign it on its own, and have the response signed (protocol 5).

        Raises:
            RefusedError: the device refused it with a result code.
            NoAnswerError: nothing ever came back.
            LinkError: the link failed beyond the retries.
            LostError: the device answered before, and no longer does.
            OutcomeUnknownError: the command was sent, and nobody can tell whether it ran.
            MalformedError, SignatureError: what the device sends is not to be believed.
            AuthenticationError, LockedOutError, NotTrustedError: one of us could not prove himself.
            InputError: the command changes the device, and this is a dry run.
        """
        return self._request(command, self._protection, is_signed=is_signed)

    def begin(self) -> None:
        """Begin the protection now rather than with the first command; raises as `request` does."""
        for tries_left in reversed(range(RECOVERIES + 1)):
            try:
                self._make_ready(self._protection)
            except InDoubtError as error:
                if not tries_left or isinstance(error.cause, NoAnswerError):
                    raise error.cause from error
            else:
                return

    def restart(self) -> None:
        """Throw the protection away and begin anew; raises as `request` does."""
        self._protection.doubt()
        self.begin()

    def introduce_to_host(self, protection: Protection, transport: Transport) -> None:
        """Have the Host on the way know us, should it not forward before (protocol 9).

        Args:
            protection: a new one, for the session with the Host.
            transport: the port that this session is on.
        """
        known = Session(
            transport,
            own_id=self.own_id,
            protection=protection,
            witness=self._witness,
            driver=self._driver,
        )

        def introduce() -> None:
            with self._driver.addressed_to(HOST_ADDRESS):
                known.begin()

        self._driver.on_unforwarded = introduce

    def finish(self) -> None:
        """End the protection. A device that no longer answers is left as it is."""
        command = self._protection.farewell()
        if command is not None:
            if not self._driver.is_lost:  # it would be signed on to again, for half a minute
                with suppress(UmiError, InDoubtError):
                    self._exchange(command, self._protection, is_signed=False)
            self._protection.doubt()

    def abandon(self) -> None:
        """Throw the protection away: the device has ended it."""
        self._protection.doubt()

    def deliver(self, signed: SignedCommand) -> Payload:
        """Send a command that was signed elsewhere, to the letter, and return its reply.

        Raises:
            OutcomeUnknownError: its answer was lost; sent again, it would be refused if it ran.
            UmiError: as in `request`.
        """
        if self.dry_run and signed.command.CHANGES:
            raise InputError(f"{signed.command.title} changes the device, and this is a dry run")
        self.own_id, self.device_id = signed.envelope.source, signed.envelope.destination
        self._transaction = signed.message.transaction
        try:
            packet = self._driver.transact(signed.packet, signed.command)
            answer, response = self._unprotected.open(packet, signed.message)
            check_answer(answer, response, signed.envelope, signed.message)
            if _is_wait(response):
                response = self._await(signed.command, response, self._unprotected, is_signed=False)
            return _reply_of(signed.command, response)
        except InDoubtError as error:
            if error.may_have_run and not isinstance(error.cause, NoAnswerError):
                raise _lost(signed.command, error.cause) from error
            raise error.cause from error
        except MalformedError as error:
            raise _lost(signed.command, error) from error

    def listen(self, seconds: float) -> None:
        """Answer what the device commands its Host, for a while; `LostError` if it is lost."""
        try:
            self._driver.pause(seconds)
        except InDoubtError as error:
            raise error.cause from error

    def identify(self) -> UmiId:
        """Return the device's UMI ID, asking for it in the clear if it is not known.

        Raises:
            MalformedError: its answer is no UMI ID.
            UmiError: as in `request`.
        """
        if self.device_id == UNKNOWN_DEVICE:
            value = self.request_in_clear(ReadObject(code=UMI_ID_OBJECT)).value
            if len(value) != UMI_ID_BYTES:
                raise MalformedError(f"the device's UMI ID has {len(value)} bytes, not 8")
            self.device_id = UmiId(int.from_bytes(value, "little"))
        return self.device_id

    def request_in_clear(self, command: Command[R]) -> R:
        """Send a command without protection; raises as `request` does."""
        return self._request(command, self._unprotected, is_signed=False)

    def request_under(self, protection: Protection, command: Command[R]) -> R:
        """Send a command once under a protection that is being begun."""
        try:
            return cast(R, self._exchange(command, protection, is_signed=False))
        except InDoubtError as error:
            raise error.cause from error

    def _request(self, command: Command[R], protection: Protection, *, is_signed: bool) -> R:
        if self.dry_run and command.CHANGES:
            raise InputError(f"{command.title} changes the device, and this is a dry run")
        failure: InDoubtError | None = None
        for tries in range(1, RECOVERIES + 2):
            try:
                self._make_ready(protection)
                with self._unanswered_meanwhile(command):
                    return cast(R, self._exchange(command, protection, is_signed=is_signed))
            except InDoubtError as error:
                failure = error
            if command.CHANGES and failure.may_have_run:
                raise _lost(command, failure.cause) from failure.cause
            if isinstance(failure.cause, NoAnswerError):
                break
            # A line that broke right after its sign-on gets one more; no UMI meter gets no more.
            if not self.link.frames_received and not (self._driver.is_reached and tries == 1):
                break
            if self._driver.is_lost and self._is_preparing:
                break  # what this prepares is tried again: to sign on takes half a minute
        assert failure is not None  # noqa: S101 - the loop ran at least once
        raise failure.cause

    @contextmanager
    def _unanswered_meanwhile(self, command: Command[Any]) -> Iterator[None]:
        if command.CHANGES:
            self.unanswered = command
        try:
            yield
        except (UmiError, InDoubtError):  # which says what is known; Ctrl-C does not
            self.unanswered = None
            raise
        self.unanswered = None

    def _make_ready(self, protection: Protection) -> None:
        """Begin a protection; `InDoubtError` if the line spoilt that, so that it is tried again."""
        if protection.is_ready:
            return
        self._is_preparing = True
        try:
            protection.begin(self)
        except _SPOILT as error:
            protection.doubt()
            raise InDoubtError(error, may_have_run=False) from error
        finally:
            self._is_preparing = False

    def _exchange(
        self, command: Command[Any], protection: Protection, *, is_signed: bool
    ) -> Payload:
        """Send a command once, with the COMPLETEs that follow, and return its reply.

        Whatever goes wrong, but for a refusal that can be believed, throws the protection away.
        """
        is_sound = False
        try:
            message = self._transact(command, protection, is_signed=is_signed)
            is_sound = message.argument != ResultCode.OK
            reply = _reply_of(command, message)
            is_sound = True
        except _UNBELIEVED as error:
            raise InDoubtError(error, may_have_run=True) from error
        finally:
            if not is_sound:
                protection.doubt()
        return reply

    def _transact(
        self, command: Command[Any], protection: Protection, *, is_signed: bool
    ) -> Message:
        self._transaction = (self._transaction + 1) & 0xFFFF
        message = self._send(command, protection, is_signed=is_signed)
        if not _is_wait(message):
            return message
        return self._await(command, message, protection, is_signed=is_signed)

    def _await(
        self,
        command: Command[Any],
        message: Message,
        protection: Protection,
        *,
        is_signed: bool,
    ) -> Message:
        """Return the response that was deferred.

        The device has taken the command: whatever fails from here on, it may have run.
        """
        try:
            for _ in range(MAX_WAITS):
                self._driver.pause(Wait.decode(message.payload).wait_ms / 1000)
                # Signed as the command was, so that the response that was due is, too.
                message = self._send(Complete(), protection, is_signed=is_signed)
                if not _is_wait(message):
                    break
            else:
                raise LinkError(f"the device deferred {command.title} {MAX_WAITS} times")
            if message.packet_type in _OF_COMPLETE and message.argument != ResultCode.OK:
                raise refusal(message.argument, Complete().title)
        except InDoubtError as error:
            raise InDoubtError(error.cause, may_have_run=True) from error
        except LinkError as error:
            if not command.CHANGES:
                raise  # it would be deferred again
            raise InDoubtError(error, may_have_run=True) from error
        except RefusedError as error:
            raise InDoubtError(error, may_have_run=True) from error
        return message

    def _send(self, command: Command[Any], protection: Protection, *, is_signed: bool) -> Message:
        """Send one packet of the transaction, and return the message that answers it."""
        # Under scheme 1 packets stay in the clear: there is no session key (protocol 6.2).
        envelope = Envelope(
            source=self.own_id,
            destination=self.device_id,
            encryption_scheme=2 if protection.number == 2 else 0,
        )
        message = Message(
            transaction=self._transaction,
            created_s=self.utc_s(),
            packet_type=command.TYPE,
            payload=command.encode(),
        )
        packet, message = protection.seal(envelope, message, self, is_signed=is_signed)
        if len(packet) > MAX_PACKET_BYTES:
            raise PacketTooLargeError(
                f"{command.title} makes a packet of {len(packet)} bytes, {MAX_PACKET_BYTES} fit"
            )
        self._witness("out", envelope, message)
        answer, response = protection.open(self._driver.transact(packet, command), message)
        self._witness("in", answer, response)
        check_answer(answer, response, envelope, message)
        self._learn_time(response, is_proved=bool(answer.encryption_scheme or message.argument))
        return response

    def _learn_time(self, response: Message, *, is_proved: bool) -> None:
        """Learn the device's time; once it was proved, from what is proved alone.

        Windows are set by it: who could shift it could hold a command back, and send it next year.
        """
        if is_proved or not self._is_time_proved:
            self._device_ahead_s = response.created_s - self.utc_s()
            self._is_time_proved = is_proved


def _lost(command: Command[Any], cause: UmiError) -> OutcomeUnknownError:
    return OutcomeUnknownError(
        f"{command.title} was sent and its answer was lost ({cause}): unknown whether it ran"
    )


def check_answer(answer: Envelope, response: Message, envelope: Envelope, command: Message) -> None:
    """Make sure that a response answers this command (protocol 3.1).

    Raises:
        MalformedError: it does not, or is not signed as was asked.
        InDoubtError: the device says that it could not take the packet, and nobody signed that.
    """
    if answer.destination != envelope.source or (
        envelope.destination not in (answer.source, UNKNOWN_DEVICE)
    ):
        raise MalformedError(
            f"the response goes from {answer.source} to {answer.destination}, "
            f"the command went from {envelope.source} to {envelope.destination}"
        )
    if response.transaction != command.transaction:
        raise MalformedError(
            f"the response has transaction number {response.transaction}, "
            f"the command had {command.transaction}"
        )
    if response.signature_scheme != command.argument:
        if response.packet_type == PacketType.ERROR and response.argument != ResultCode.OK:
            if answer.encryption_scheme:
                return  # the session key vouches for it
            told = refusal(response.argument, "the packet")
            raise InDoubtError(told, may_have_run=True)
        raise MalformedError(
            f"the response is signed under scheme {response.signature_scheme}, "
            f"{command.argument} was asked for"
        )


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
