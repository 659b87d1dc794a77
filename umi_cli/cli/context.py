"""What a command gets: the settings, the way to a device, and the voice it answers with."""

import contextlib
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, TypeVar

import click

from umi_cli.cli import params
from umi_cli.cli.failure import Failure
from umi_cli.cli.links import Links
from umi_cli.cli.report import Report
from umi_cli.errors import InputError, RefusedError, UmiError

if TYPE_CHECKING:
    from umi_cli.cli.host_config import HostConfig
    from umi_cli.cli.lines import Lines
    from umi_cli.cli.settings import Settings
    from umi_cli.connecting import Receiver
    from umi_cli.device.meter import Meter
    from umi_cli.device.trace import Trace
    from umi_cli.objects.catalogue import Catalogue
    from umi_cli.output.progress import Progress
    from umi_cli.output.render import Format, View
    from umi_cli.types import ObjectPart, UmiCode

R = TypeVar("R")
_DOCUMENTS: "tuple[Format, ...]" = ("json", "events")
_TEXTS: "tuple[Format, ...]" = ("table", "csv", "raw")


class App:
    """One run of `umi`.

    Args:
        argv: the arguments, without the program's name; read ahead for the form of output, so
            that a usage error under `--json` is a JSON document as well.
        environment: the environment variables.
        lines: the shell or batch that this run is a line of: its options hold unless the
            arguments say otherwise, and its connection is used.
    """

    def __init__(
        self,
        argv: Sequence[str],
        environment: Mapping[str, str] = os.environ,
        *,
        lines: "Lines | None" = None,
    ) -> None:
        self.given: dict[str, Any] = {}
        self.lines = lines
        self.start: Mapping[str, Any] = lines.options if lines else {}
        self.links: Links = lines.links if lines else Links()
        self._argv = tuple(argv)
        self.environment = environment
        self._settings: Settings | None = None
        self.settings_fault: UmiError | None = None
        self._catalogue: Catalogue | None = None
        self._ahead = form_ahead(argv)
        self._forced: Format | None = lines.form if lines else None
        form = self._forced or self._ahead or _form_of(environment)
        is_kept = self._forced is not None
        self.report = Report(form, clock=time.monotonic, is_kept=is_kept)

    @property
    def settings(self) -> "Settings":
        """Return what holds, by command line, environment and profile."""
        if self._settings is None:
            from umi_cli.cli.settings import settle

            self._settings = settle(self.given, self.environment, self.start)
        return self._settings

    @property
    def config(self) -> str | None:
        """Return the configuration file that was named; None for the user's own."""
        named = self.given.get("config") or self.start.get("config")
        return named or self.environment.get("UMI_CONFIG")

    @property
    def host_config(self) -> "HostConfig":
        """Return the Host that the configuration file describes."""
        from umi_cli.cli.host_config import host_config

        return host_config(self.config, self.environment)

    def command_line(self, *, without: str = "", dropping: Collection[str] = ()) -> str:
        """Return the command as it was typed, for the user to repeat; no secret stands in it.

        Args:
            without: a flag that is not to be repeated.
            dropping: long options that are not to be repeated, nor their values.
        """
        import shlex

        kept: list[str] = []
        words = iter(self._argv)
        for word in words:
            option, equals, _ = word.partition("=")
            if option in dropping:
                if not equals:
                    next(words, None)
            elif word != without:
                kept.append(word)
        return shlex.join(("umi", *kept))

    @property
    def wants_traceback(self) -> bool:
        """Tell whether the user asked to see where an error comes from."""
        return self._settings is not None and self._settings.verbose > 1

    def begin(
        self, command: str, lacks: Sequence[str] = (), *, forgives_settings: bool = False
    ) -> None:
        """Settle what holds for a command, whose options are all known now.

        Args:
            command: its words.
            lacks: forms that its result does not have.
            forgives_settings: go on without a configuration file that cannot be used, and keep in
                `settings_fault` why.

        Raises:
            InputError: its result does not have the form that was asked for.
        """
        self.report.command = command
        if forgives_settings:
            self._settle_all_the_same()
        if self.given.get("csv") and self.given.get("output") != "csv":
            raise InputError("--csv and -o exclude each other", hint="choose one")
        self.report.form = self._forced or self.settings.form
        if self.settings.trace_plain and not self.settings.trace:
            raise InputError("--trace-plain says how to trace, and not where", hint="add --trace")
        if self.report.form in lacks:
            if "output" in self.given:
                from umi_cli.output.render import lacking

                raise lacking(self.report.form)
            self.report.form = "table"  # a profile says what is liked, not what is asked for

    def _settle_all_the_same(self) -> None:
        try:
            _ = self.settings
        except UmiError as error:
            from umi_cli.cli.settings import layers_of, settle_layers

            layers = layers_of(self.given, self.environment, self.start, reads_file=False)
            self._settings = settle_layers(layers)
            self.settings_fault = error

    @contextlib.contextmanager
    def connect(
        self, *, is_secret: bool = False, on_event: "Receiver | None" = None
    ) -> "Iterator[Meter]":
        """Open the device that `--port` names.

        Args:
            is_secret: a secret goes over the line, so `-v` shows no bytes.
            on_event: told what a Peripheral publishes to us as its Host; it is shown if None.

        Raises:
            UmiError: there is none, or it cannot be reached.
        """
        self.report.port = self.settings.port
        with self.links.lend(self, is_secret=is_secret, on_event=on_event) as meter:
            try:
                yield meter
            except RefusedError:
                self._ask_device(meter)
                raise
            self._ask_device(meter)

    @contextlib.contextmanager
    def traced(self, address: str) -> "Iterator[Trace | None]":
        """Return what writes all that passes on a port to the file of `--trace`, if there is one.

        Raises:
            InputError: the file cannot be written.
        """
        if not self.settings.trace:
            yield None
            return
        trace = self.links.recorder(self).trace(address, self._holds_secret)
        try:
            yield trace
        finally:
            trace.close()

    def watch(self) -> "Callable[[str], Trace | None]":
        """Begin the file of `--trace`, if there is one, for lines that we serve.

        Returns:
            What gives a line, by its name, the trace that writes all that passes on it.

        Raises:
            InputError: the file cannot be written.
        """
        if not self.settings.trace:
            return lambda name: None
        from umi_cli.link.stream import DEFAULT_IDLE_GAP_S
        from umi_cli.transports.base import SystemClock

        recorder = self.links.recorder(self)

        def watch(name: str) -> "Trace":
            trace = recorder.trace(name, self._holds_secret)
            trace.begin(SystemClock(), DEFAULT_IDLE_GAP_S, takes_commands=True)
            return trace

        return watch

    def _holds_secret(self, code: "UmiCode") -> bool:
        definition = self.catalogue.find(code)
        return definition is not None and definition.secret

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

            load = self.lines.catalogue if self.lines else Catalogue.load
            self._catalogue = load(self.settings.datasheet)
        return self._catalogue

    def is_secret(self, *parts: "ObjectPart") -> bool:
        """Tell whether the datasheet calls the value of any of these objects secret."""
        return any(self._holds_secret(part.code) for part in parts)

    def emit(self, data: Any, view: "View | None" = None) -> None:
        """Give the result: `data` for JSON, `view` for people (None: a plain view of the data)."""
        self.report.emit(data, view)

    def deliver(self) -> None:
        """Write the result out now: what comes next must not happen unless it is written."""
        self.report.deliver()

    def event(self, kind: str, **fields: Any) -> None:
        """Print an event, under `--events`."""
        self.report.event(kind, **fields)

    def announce(self, kind: str, **fields: Any) -> None:
        """Print a line of JSON at once, in every form of output: what a program waits for."""
        self.report.announce(kind, **fields)

    def happening(self, kind: str, **fields: Any) -> None:
        """Print a line of JSON for what happens while a command serves; none under `--json`."""
        self.report.happening(kind, **fields)

    def warn(self, message: str) -> None:
        """Warn of something that did not stop the command."""
        self.report.warn(message)

    def note(self, message: str) -> None:
        """Say something that is good to know, on stderr."""
        self.report.note(message)

    def progress(
        self, label: str, total: int, unit: str = "B", *, done: int = 0, quiet_s: float = 0.0
    ) -> "Progress":
        """Return what to tell the progress of long work to, of which some was done before."""
        return self.report.progress(label, total, unit, done=done, quiet_s=quiet_s)

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
        is_form_open = self._settings is None and not (self._ahead or self._forced)
        if failure and is_form_open:
            with contextlib.suppress(UmiError):  # the profile may ask for JSON
                self.report.form = self.settings.form
        if self.lines is None:
            self.links.close(self)
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
