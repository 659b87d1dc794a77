"""What a command gets: the settings, the way to a device, and the voice it answers with."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

import click

from umi_cli.cli import params
from umi_cli.cli.failure import Failure
from umi_cli.cli.report import Report
from umi_cli.errors import InputError, RefusedError, UmiError
from umi_cli.output import streams

if TYPE_CHECKING:
    from umi_cli.cli.host_config import HostConfig
    from umi_cli.cli.settings import Settings
    from umi_cli.device.credentials import Credentials
    from umi_cli.device.meter import Meter
    from umi_cli.objects.catalogue import Catalogue
    from umi_cli.output.progress import Progress
    from umi_cli.output.render import Format, View
    from umi_cli.types import ObjectPart, UmiId

R = TypeVar("R")
_DOCUMENTS: "tuple[Format, ...]" = ("json", "events")
_TEXTS: "tuple[Format, ...]" = ("table", "csv", "raw")


class App:
    """One run of `umi`.

    Args:
        argv: the arguments, without the program's name; read ahead for the form of output, so
            that a usage error under `--json` is a JSON document as well.
        environment: the environment variables.
    """

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str] = os.environ) -> None:
        self.given: dict[str, Any] = {}
        self._argv = tuple(argv)
        self.environment = environment
        self._settings: Settings | None = None
        self.settings_fault: UmiError | None = None
        self._catalogue: Catalogue | None = None
        self._ahead = form_ahead(argv)
        self.report = Report(self._ahead or _form_of(environment), clock=time.monotonic)

    @property
    def settings(self) -> "Settings":
        """Return what holds, by command line, environment and profile."""
        if self._settings is None:
            from umi_cli.cli.settings import settle

            self._settings = settle(self.given, self.environment)
        return self._settings

    @property
    def host_config(self) -> "HostConfig":
        """Return the Host that the configuration file describes."""
        from umi_cli.cli.host_config import host_config

        config = self.given.get("config") or self.environment.get("UMI_CONFIG")
        return host_config(config, self.environment)

    def command_line(self, *, without: str = "") -> str:
        """Return the command as it was typed, for the user to repeat; no secret stands in it.

        Args:
            without: a flag that is not to be repeated.
        """
        import shlex

        return shlex.join(("umi", *(word for word in self._argv if word != without)))

    @property
    def wants_traceback(self) -> bool:
        """Tell whether the user asked to see where an error comes from."""
        return self._settings is not None and self._settings.verbose > 1

    def begin(self, command: str, *, forgives_settings: bool = False) -> None:
        """Settle what holds for a command, whose options are all known now.

        Args:
            forgives_settings: go on without a configuration file that cannot be used, and keep in
                `settings_fault` why.
        """
        self.report.command = command
        if forgives_settings:
            self._settle_all_the_same()
        self.report.form = self.settings.form

    def _settle_all_the_same(self) -> None:
        try:
            _ = self.settings
        except UmiError as error:
            from umi_cli.cli.settings import settle

            self._settings = settle(self.given, self.environment, reads_file=False)
            self.settings_fault = error

    @contextlib.contextmanager
    def connect(self, *, is_secret: bool = False) -> "Iterator[Meter]":
        """Open the device that `--port` names.

        Args:
            is_secret: a secret goes over the line, so `-v` shows no bytes.

        Raises:
            UmiError: there is none, or it cannot be reached.
        """
        settings = self.settings
        address = self.report.port = _address(settings)
        from umi_cli.connecting import connect

        umi_id, credentials = self._identity()
        with connect(
            address,
            datasheet=settings.datasheet,
            umi_id=umi_id,
            timeout_s=settings.timeout_s,
            retries=settings.retries,
            dry_run=settings.dry_run,
            observer=(_show_length if is_secret else _show_bytes) if settings.verbose else None,
            credentials=credentials,
            on_event=self._on_event,
        ) as meter:
            try:
                yield meter
            except RefusedError:
                self._ask_device(meter)
                raise
            self._ask_device(meter)

    def _on_event(self, source: "UmiId", events: int, timestamp_s: int) -> None:
        """Show what a Peripheral publishes to us as its Host."""
        from umi_cli.cli.published import published

        record = published(source, events, timestamp_s, self.catalogue)
        self.event("event", **record)
        names = ", ".join(event["name"] for event in record["events"])
        self.note(f"{record['source']} published: {names} at {record['timestamp']}")

    def _identity(self) -> "tuple[UmiId, Credentials | None]":
        """Return our UMI ID, and what we prove ourselves with; as guest neither costs anything."""
        settings = self.settings
        if settings.is_guest:
            from umi_cli.types import DEFAULT_READER_ID

            return settings.umi_id or DEFAULT_READER_ID, None
        from umi_cli.cli.credentials import credentials_of, own_id

        credentials = credentials_of(settings, self)
        return own_id(settings, credentials), credentials

    def _ask_device(self, meter: "Meter") -> None:
        """Learn who answered, for the document; it costs an exchange, so not for people."""
        if not self.report.is_for_people:
            with contextlib.suppress(UmiError):
                self.report.device = meter.device_id

    @property
    def catalogue(self) -> "Catalogue":
        """Return the datasheet that `--datasheet` names; no device is asked.

        Raises:
            InputError: there is none, or something in it is wrong.
        """
        if self._catalogue is None:
            from umi_cli.objects.catalogue import Catalogue

            self._catalogue = Catalogue.load(self.settings.datasheet)
        return self._catalogue

    def is_secret(self, *parts: "ObjectPart") -> bool:
        """Tell whether the datasheet calls the value of any of these objects secret."""
        found = [self.catalogue.find(part.code) for part in parts]
        return any(definition.secret for definition in found if definition)

    def emit(self, data: Any, view: "View | None" = None) -> None:
        """Give the result: `data` for JSON, `view` for people (None: a plain view of the data)."""
        self.report.emit(data, view)

    def event(self, kind: str, **fields: Any) -> None:
        """Print an event, under `--events`."""
        self.report.event(kind, **fields)

    def announce(self, kind: str, **fields: Any) -> None:
        """Print a line of JSON at once, in every form of output: what a program waits for."""
        self.report.announce(kind, **fields)

    def warn(self, message: str) -> None:
        """Warn of something that did not stop the command."""
        self.report.warn(message)

    def note(self, message: str) -> None:
        """Say something that is good to know, on stderr."""
        self.report.note(message)

    def progress(self, label: str, total: int, unit: str = "B", *, done: int = 0) -> "Progress":
        """Return what to tell the progress of long work to, of which some was done before."""
        return self.report.progress(label, total, unit, done=done)

    def confirm(self, *, loss: str) -> None:
        """Ask before something is lost ("This will {loss}."); `InputError` unless it is a yes."""
        settings = self.settings
        if not settings.dry_run:
            params.confirm(loss, yes=settings.yes, no_input=settings.no_input)

    def show(self, command: str, data: Any, text: str) -> None:
        """Give help or the version, which come before any command begins."""
        self.report.command = command or None
        self.report.show(data, text)

    def finish(self, failure: Failure | None) -> None:
        """End the run with the document, or with what went wrong."""
        if failure and self._settings is None and self._ahead is None:
            with contextlib.suppress(UmiError):  # the profile may ask for JSON
                self.report.form = self.settings.form
        self.report.finish(failure)


def pass_app(function: Callable[..., R]) -> Callable[..., R]:
    """Give a command its `App` as first argument."""
    return click.make_pass_decorator(App)(function)


def form_ahead(argv: Sequence[str]) -> "Format | None":
    """Return the form of output that the arguments ask for, before they are parsed."""
    options = argv[: argv.index("--")] if "--" in argv else argv
    for form in _DOCUMENTS:
        if f"--{form}" in options:
            return form
    after = [word for option, word in pairwise(options) if option in ("-o", "--output")]
    joined = [word.partition("=")[2] for word in options if word.startswith("--output=")]
    return next((form for form in _TEXTS if form in after + joined), None)


def _form_of(environment: Mapping[str, str]) -> "Format":
    for form in _DOCUMENTS:
        value = environment.get(f"UMI_{form.upper()}", "").strip().lower()
        if value not in ("", "0", "false", "no", "n", "f", "off"):
            return form
    return "table"


def _address(settings: "Settings") -> str:
    """Return where the device is."""
    if not settings.port:
        raise InputError(
            "no device is named",
            hint="name one with -p ADDRESS or UMI_PORT; -p sim is the built-in virtual meter",
        )
    return settings.port


def _show_bytes(direction: str, data: bytes) -> None:
    """Log a piece of bytes to stderr."""
    from umi_cli.output.hexdump import hexdump

    _show_length(direction, data)
    streams.say(hexdump(data, indent="  "))


def _show_length(direction: str, data: bytes) -> None:
    """Log how long a piece of bytes is, where the bytes may hold a secret."""
    from umi_cli.output.render import timestamp

    moment = timestamp(datetime.now(UTC), timespec="milliseconds")
    streams.say(f"{moment} {direction} {len(data)} bytes")
