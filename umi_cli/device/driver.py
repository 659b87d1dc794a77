"""How a packet crosses the link and its response comes back, over a real port (protocol 2.3)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from umi_cli.application.payload import Command
from umi_cli.errors import LinkError, LostError, NoAnswerError, PacketTooLargeError, UmiError
from umi_cli.link.connection import LinkConnection
from umi_cli.link.events import (
    CommandReceived,
    Event,
    ExchangeFailed,
    FragmentErrorReceived,
    LinkAddresses,
    LinkErrorReceived,
    LinkSettings,
    ResponseReceived,
    Resynchronised,
)
from umi_cli.link.fragment import FragmentErrorCode
from umi_cli.link.frame import Direction, LinkErrorCode
from umi_cli.transports.base import Transport

BUSY_PAUSE_S = 0.2  # between tries while the device is busy with another transaction
BUSY_PATIENCE_S = 5.0  # in all, unless the user says how long to wait
_UNREACHED = (LinkErrorCode.BAD_ADDRESS, LinkErrorCode.CANNOT_FORWARD)
_TEMPORARY = (LinkErrorCode.BUSY, LinkErrorCode.CANNOT_FORWARD)

Observer = Callable[[Direction, bytes], None]
"""Told every piece of bytes: `"out"` or `"in"`, and the bytes."""


class HostEnd(Protocol):
    """The Host's objects, which a Peripheral may command."""

    def execute(self, packet: bytes, now: float, utc: float) -> bytes | None:
        """Answer a command packet; None: it came too late to count."""
        ...


class InDoubtError(Exception):
    """An exchange came to nothing. The cause is what the user is told, if nothing helps."""

    def __init__(self, cause: UmiError, *, may_have_run: bool) -> None:
        super().__init__(str(cause))
        self.cause = cause
        self.may_have_run = may_have_run


class LinkDriver:
    """Drives our end of a link over a transport.

    Args:
        transport: an open port; the driver does not close it.
        settings: timeouts and attempts.
        port: the link address to command; whoever answers RESYNC if None.
        observer: told every piece of bytes that passes.
        host: what answers the device's own commands; we are its Host then.
        patience_s: how long to go on asking a device that is busy, or that a Host does not reach.
    """

    def __init__(
        self,
        transport: Transport,
        settings: LinkSettings,
        *,
        port: int | None = None,
        observer: Observer | None = None,
        host: HostEnd | None = None,
        patience_s: float | None = None,
    ) -> None:
        patience_s = BUSY_PATIENCE_S if patience_s is None else patience_s
        self._busy_tries = max(1, round(patience_s / BUSY_PAUSE_S))
        self.link = LinkConnection(settings, LinkAddresses(peer=port or 0) if host else None)
        self._host = host
        self._transport = transport
        self._clock = transport.clock
        self._port = port
        self._observer = observer
        self._replies = 0
        self._has_fallen_silent = False
        self.on_unforwarded: Callable[[], None] | None = None
        """Called once when a Host does not forward to the port: it may want to know us first."""
        self.is_lost = False
        """The device has fallen silent, and could not be brought back."""

    @property
    def port(self) -> int | None:
        """Return the link address that is commanded; None for whoever answers RESYNC."""
        return self._port

    @property
    def is_reached(self) -> bool:
        """Whether a sign-on, or a select, has shown that somebody is there."""
        return self._transport.has_answered

    def transact(self, packet: bytes, command: Command[Any]) -> bytes:
        """Send a packet and return the one that answers it.

        Raises:
            InDoubtError: nothing answered it.
            LinkError: the link refused it, and it did not run.
        """
        if self._has_fallen_silent:
            self._recover()
        for _ in range(self._busy_tries):
            event = self._link_exchange(packet)
            if isinstance(event, ResponseReceived):
                self._replies += 1
                return event.packet
            if not isinstance(event, LinkErrorReceived) or event.number not in _TEMPORARY:
                break
            if event.number == LinkErrorCode.CANNOT_FORWARD and self.on_unforwarded:
                introduce, self.on_unforwarded = self.on_unforwarded, None
                introduce()
            else:
                self.pause(BUSY_PAUSE_S)
        self._has_fallen_silent = isinstance(event, ExchangeFailed)
        raise self._failure(event, command)

    @contextmanager
    def addressed_to(self, port: int | None) -> Iterator[None]:
        """Command another link address for a while."""
        own, self._port = self._port, port
        try:
            yield
        finally:
            self._port = own

    def forgive(self) -> None:
        """Take a silence as meant: the device is not brought back before the next packet."""
        self._has_fallen_silent = False

    def _recover(self) -> None:
        """Have the transport bring the device back; `InDoubtError` if it does not come."""
        self.link.reset()
        self.is_lost = True
        try:
            self._transport.recover()
        except UmiError as error:
            lost = LostError(
                f"the device was lost in the middle, and does not come back: {error}",
                hint=error.hint,
            )
            raise InDoubtError(lost, may_have_run=False) from error
        self._has_fallen_silent = self.is_lost = False

    def _link_exchange(self, packet: bytes) -> Event:
        """Run one link exchange to its end; `InDoubtError` if the port was lost."""
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
            raise InDoubtError(error, may_have_run=ended is None or ended.may_have_run) from error
        finally:
            self.link.abort("interrupted")  # open after Ctrl-C alone: a farewell begins anew

    def _failure(self, event: Event, command: Command[Any]) -> Exception:
        if isinstance(event, LinkErrorReceived):
            error = _link_error(event.number, command)
            has_answered = self._replies or self._port in self.link.heard_from
            if has_answered and event.number in _UNREACHED:
                return LostError(f"{self._transport.address} answered before: {error}")
            return error
        if isinstance(event, FragmentErrorReceived):
            return _fragment_error(event.number, command)
        assert isinstance(event, ExchangeFailed)  # noqa: S101 - a commander gets no other event
        return InDoubtError(self._silence(event), may_have_run=event.may_have_run)

    def _silence(self, event: ExchangeFailed) -> UmiError:
        where = self._transport.address
        if self._replies or self._transport.has_answered:
            return LostError(f"{where} answered before and no longer does: {event.reason}")
        if self.link.frames_received:
            return LinkError(f"{where} answers, but not this command: {event.reason}")
        if self.link.noise_bytes:
            return LinkError(
                f"{where} sends bytes ({self.link.noise_bytes}), none of them a UMI frame",
                hint="check the rate and that the device speaks UMI link frames",
            )
        return NoAnswerError(f"{where} does not answer: {event.reason}")

    def pause(self, pause_s: float) -> None:
        """Wait, taking in whatever comes meanwhile; `InDoubtError` if the port is lost."""
        until = self._clock.monotonic() + pause_s
        while self._clock.monotonic() < until:
            try:
                self._pump(until)
                self._flush()
            except LostError as error:
                raise InDoubtError(error, may_have_run=True) from error

    def _pump(self, deadline: float | None) -> list[Event]:
        data = self._transport.receive(deadline or self._clock.monotonic())
        if data and self._observer:
            self._observer("in", data)
        now = self._clock.monotonic()
        events = (self.link.receive_data(data, now) if data else []) + self.link.on_timer(now)
        return [event for event in events if not self._is_for_host(event)]

    def _is_for_host(self, event: Event) -> bool:
        """Answer what the device commands its Host; tell whether the event was such a thing."""
        if isinstance(event, CommandReceived) and self._host is not None:
            answer = self._host.execute(event.packet, self._clock.monotonic(), self._clock.utc())
            if answer is None:
                self.link.ignore(commander=event.source)
            else:
                self.link.respond(answer, commander=event.source)
        return isinstance(event, CommandReceived | Resynchronised)

    def _flush(self) -> None:
        for frame in self.link.frames_to_send():
            if self._observer:
                self._observer("out", frame)
            self._transport.send(frame)


def _link_error(number: int, command: Command[Any]) -> UmiError:
    known = number in LinkErrorCode.__members__.values()
    name = LinkErrorCode(number).name if known else f"link error {number}"
    hint = ""
    if number == LinkErrorCode.BAD_ADDRESS:
        hint = "no port has this address: leave /N off the address for the Host itself"
    if number == LinkErrorCode.CANNOT_FORWARD:
        hint = "the Host may forward for who has authenticated alone: --key, --cert and --anchor"
    return LinkError(f"the link refused {command.title}: {name} ({number})", hint=hint)


def _fragment_error(number: int, command: Command[Any]) -> Exception:
    if number == FragmentErrorCode.PACKET_TOO_LARGE:
        return PacketTooLargeError(f"the device cannot take a packet as long as {command.title}")
    known = number in FragmentErrorCode.__members__.values()
    name = FragmentErrorCode(number).name if known else "unknown"
    error = LinkError(f"the device could not join our fragments: {name} ({number})")
    return InDoubtError(error, may_have_run=False)
