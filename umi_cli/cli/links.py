"""Which connection does a command get? One of its own, or in a shell the one that is open already.

Commands do not know: they ask their `App` to connect. A shell keeps one connection, for one
session with one device; settings that need another one close it first, as most ports are for one
user alone.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from umi_cli.cli.orders import Terminated
from umi_cli.errors import (
    InputError,
    LinkError,
    LostError,
    NoAnswerError,
    UmiError,
    UploadInterruptedError,
)

if TYPE_CHECKING:
    from umi_cli.cli.byte_log import ByteLog
    from umi_cli.cli.context import App
    from umi_cli.cli.settings import Settings
    from umi_cli.cli.tracing import Recorder
    from umi_cli.connecting import Receiver
    from umi_cli.device.credentials import Credentials
    from umi_cli.device.meter import Meter
    from umi_cli.types import UmiId

_LOST = (LostError, LinkError, NoAnswerError, UploadInterruptedError)
GLANCE_S = 0.001  # long enough to learn that the other end has hung up meanwhile


class Link:
    """A connection to a device, whose voice is that of the command which uses it now.

    What we prove ourselves with is read once, and kept when a lost connection is opened again: a
    key on stdin does not come twice.

    Args:
        user: the first run that uses it; its settings say where the device is, and who we are.

    Raises:
        UmiError: the settings name no device, or nothing to prove ourselves with that can be used.
    """

    def __init__(self, user: "App") -> None:
        self._user = user
        self._receiver: Receiver | None = None
        self._log: ByteLog | None = None
        self._open_parts = ExitStack()
        self._settings = user.settings
        self._address = _address(self._settings)
        self._meter: Meter | None = None
        self._end = ""
        self._context = click.Context(click.Command(None))  # where a key's token stays open
        is_ready = False
        try:
            with self._context.scope(cleanup=False):
                self._umi_id, self._credentials = self._identify()
            is_ready = True
        finally:
            if not is_ready:
                self._context.close()

    def is_for(self, settings: "Settings") -> bool:
        """Tell whether a command with other settings gets the same connection."""
        return _essence(settings) == _essence(self._settings)

    def lend(self, user: "App", *, is_secret: bool, on_event: "Receiver | None") -> "Meter":
        """Return the open device, for a command to use; takes what `Links.lend` does.

        Raises:
            UmiError: it cannot be reached.
        """
        self._user, self._receiver, self._log = user, on_event, None
        if user.settings.verbose:
            from umi_cli.cli.byte_log import ByteLog

            self._log = ByteLog(is_secret=is_secret)
        if self._meter is not None:
            self._glance(self._meter)
        if self._meter is None:
            if self._end:
                user.warn(f"the connection is opened again: the one before was {self._end}")
            self._meter = self._open()
        self._meter.session.dry_run = user.settings.dry_run
        return self._meter

    def explain(self, order: BaseException) -> None:
        """Note at an order to end what nobody knows because of it."""
        command = self._meter.session.unanswered if self._meter else None
        if command is not None:
            order.add_note(
                f"{command.title} was sent, and its answer had not come: unknown whether it ran"
            )

    def take_back(self) -> None:
        """Show what was logged for the command that has the device."""
        if self._log is not None:
            self._log.flush()

    def hang_up(self, why: str = "") -> None:
        """Close the connection; whoever needs it again is told why it is opened anew."""
        self._meter, self._end = None, why
        try:
            self._open_parts.close()
        finally:
            self.take_back()

    def close(self) -> None:
        """Close the connection for good, and the token that our key is in."""
        try:
            self.hang_up()
        finally:
            self._context.close()

    @property
    def environment(self) -> Mapping[str, str]:
        """Return the environment of the command that uses the connection."""
        return self._user.environment

    def warn(self, message: str) -> None:
        """Warn in the command that uses the connection."""
        self._user.warn(message)

    def _identify(self) -> "tuple[UmiId, Credentials | None]":
        """Return our UMI ID, and what we prove ourselves with; as guest neither costs anything."""
        if self._settings.is_guest:
            from umi_cli.types import DEFAULT_READER_ID

            return self._settings.umi_id or DEFAULT_READER_ID, None
        from umi_cli.cli.credentials import credentials_of, own_id

        credentials = credentials_of(self._settings, self)
        return own_id(self._settings, credentials), credentials

    def _open(self) -> "Meter":
        from umi_cli.connecting import connect

        settings = self._settings
        with ExitStack() as stack:
            trace = stack.enter_context(self._user.traced(self._address))
            opened = connect(
                self._address,
                datasheet=settings.datasheet,
                umi_id=self._umi_id,
                timeout_s=settings.timeout_s,
                retries=settings.retries,
                observer=self._observe,
                credentials=self._credentials,
                on_event=self._on_event,
                trace=trace,
                notify=self._notify,
            )
            meter = stack.enter_context(opened)
            self._open_parts = stack.pop_all()
        return meter

    def _glance(self, meter: "Meter") -> None:
        """Take in what came since the last command; hang up if the other end has."""
        try:
            meter.session.listen(GLANCE_S)
        except LostError:
            self.hang_up("lost")

    def _observe(self, direction: str, data: bytes) -> None:
        """Log a piece of bytes, if the command wants that."""
        if self._log is not None:
            self._log(direction, data)

    def _notify(self, message: str) -> None:
        """Say what takes long."""
        self._user.note(message)

    def _on_event(self, source: "UmiId", events: int, timestamp_s: int) -> None:
        """Hand on what a Peripheral publishes to us as its Host, or show it."""
        if self._receiver is not None:
            self._receiver(source, events, timestamp_s)
            return
        from umi_cli.cli.published import published

        record = published(source, events, timestamp_s, self._user.catalogue)
        self._user.event("event", **record)
        names = ", ".join(event["name"] for event in record["events"])
        self._user.note(f"{record['source']} published: {names} at {record['timestamp']}")


class Links:
    """The connections of a run, or of all the lines of a shell; at most one is open.

    Args:
        is_kept: leave a connection open for the next command, until `close`.
    """

    def __init__(self, *, is_kept: bool = False) -> None:
        self._is_kept = is_kept
        self._link: Link | None = None
        self._user: App | None = None
        self._recorders: dict[tuple[str, bool], Recorder] = {}

    @contextmanager
    def lend(
        self, user: "App", *, is_secret: bool = False, on_event: "Receiver | None" = None
    ) -> "Iterator[Meter]":
        """Lend a command the device that its settings name.

        A connection that is in doubt afterwards is closed, and opened again for the next command.

        Args:
            user: the command's run.
            is_secret: a secret goes over the line, so `-v` shows no bytes.
            on_event: told what a Peripheral publishes to us as its Host; None to show it.

        Raises:
            UmiError: it cannot be reached.
        """
        link = self._for(user)
        end = "interrupted"
        try:
            yield link.lend(user, is_secret=is_secret, on_event=on_event)
            end = ""
        except UmiError as error:
            end = "lost" if _is_lost(error) else ""
            raise
        except (KeyboardInterrupt, Terminated) as order:
            link.explain(order)
            raise
        finally:
            link.take_back()
            if not self._is_kept:
                self.hang_up()
            elif end:
                link.hang_up(end)

    def recorder(self, user: "App") -> "Recorder":
        """Return the capture file that a run's settings name; it is begun once.

        Raises:
            InputError: it cannot be written.
        """
        from umi_cli.cli.tracing import Recorder

        self._user = user
        path, is_plain = user.settings.trace or "", user.settings.trace_plain
        if (path, is_plain) not in self._recorders:
            recorder = Recorder(Path(path), is_plain=is_plain, warn=self._warn)
            self._recorders[path, is_plain] = recorder
        return self._recorders[path, is_plain]

    def hang_up(self) -> None:
        """Close the connection that is open."""
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def close(self, user: "App") -> None:
        """Close the connection and the captures.

        Args:
            user: the run that is told what is to be said of them.
        """
        self._user = user
        try:
            self.hang_up()
        finally:
            for recorder in self._recorders.values():
                recorder.close()

    def _warn(self, message: str) -> None:
        if self._user is not None:
            self._user.warn(message)

    def _for(self, user: "App") -> Link:
        """Return the link for a run; one that cannot be had leaves the one before as it is."""
        if self._link is None or not self._link.is_for(user.settings):
            link = Link(user)
            self.hang_up()
            self._link = link
        return self._link


def _essence(settings: "Settings") -> "Settings":
    """Return the settings without what the same connection does for as well."""
    # Who chose the scheme counts where something was named that it does not use: see credentials.
    is_chosen = settings.is_scheme_given and settings.scheme == 0 and not settings.is_guest
    return replace(
        settings,
        is_scheme_given=is_chosen,
        form="table",
        no_input=False,
        yes=False,
        dry_run=False,
        verbose=0,
    )


def _is_lost(error: UmiError) -> bool:
    """Tell whether an error, or what caused it, leaves the connection in doubt."""
    return isinstance(error, _LOST) or isinstance(error.__cause__, _LOST)


def _address(settings: "Settings") -> str:
    """Return where the device is."""
    if not settings.port:
        raise InputError(
            "no device is named",
            hint="name one with -p ADDRESS or UMI_PORT; -p sim is the built-in virtual meter",
        )
    return settings.port
