"""What a command tells, in the form that was asked for: result, events, warnings, the end.

stdout carries the result alone. `--json` gathers everything into one document that `finish`
prints; `--events` prints each event at once and the document as the last of them.
"""

import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from umi_cli import __version__
from umi_cli.cli.failure import Failure
from umi_cli.output import streams

if TYPE_CHECKING:
    from umi_cli.output.progress import Progress
    from umi_cli.output.render import Format, View

SCHEMA = "umi/1"
_CERTAIN = ("schema", "command", "data")
"""What of the document is known before the end."""


class Report:
    """The voice of one run of `umi`.

    Args:
        form: the form of output.
        clock: a clock that only goes forward, in seconds.
        now: the time of day.
        is_kept: the document is for the shell or batch that the run is a line of: none is written.
    """

    def __init__(
        self,
        form: "Format",
        *,
        clock: Callable[[], float],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        is_kept: bool = False,
    ) -> None:
        self.form = form
        self._is_kept = is_kept
        self.command: str | None = None
        self.port: str | None = None
        self.device: object = None
        self.data: Any = None
        self.warnings: list[str] = []
        self.is_announced = False
        self._is_delivered = False
        self._clock, self._now = clock, now
        self._start_s = clock()
        self._events = 0

    @property
    def is_for_people(self) -> bool:
        """Tell whether the result is shown as it comes, and not gathered in a document."""
        return self.form not in ("json", "events")

    def emit(self, data: Any, view: "View | None" = None) -> None:
        """Give the result.

        Args:
            data: what `--json` prints as `data`.
            view: what people see; None for a plain view of the data.
        """
        self.data = data
        if self.is_for_people:
            from umi_cli.output.render import View, view_lines

            for line in view_lines(view or View.of(data), self.form):
                streams.write(line)
            streams.write("", flush=True)

    def deliver(self) -> None:
        """Write the result out now, before what must not happen unless it is written.

        Under `--json` the one document begins here, and ends with the run: how that went is not
        known yet, so `ok` and `error` stand behind `data`.
        """
        if self.form == "json" and not (self._is_delivered or self._is_kept):
            from umi_cli.output.render import json_line

            self._is_delivered = True
            document = self.document(None)
            begun = {name: document[name] for name in _CERTAIN}
            streams.write(json_line(begun).removesuffix("}\n"), flush=True)

    def show(self, data: Any, text: str) -> None:
        """Give a text, such as help, whatever the form for people."""
        self.data = data
        if self.is_for_people:
            streams.write(text + "\n", flush=True)

    def announce(self, kind: str, **fields: Any) -> None:
        """Print a line of JSON at once, in every form: what a program waits for.

        It is then the one document of `--json`; what goes wrong later stands on stderr.
        """
        self.is_announced = True
        self._print(kind, fields)

    def happening(self, kind: str, **fields: Any) -> None:
        """Print a line of JSON for what happens while a command serves; none under `--json`."""
        if self.form != "json":
            self._print(kind, fields)

    def _print(self, kind: str, fields: dict[str, Any]) -> None:
        if self.form == "events":
            self.event(kind, **fields)
        else:
            self._write_line({"type": kind, **fields})

    def event(self, kind: str, **fields: Any) -> None:
        """Print an event, under `--events`."""
        if self.form == "events":
            moment = self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
            number = self._events
            self._events += 1  # first, so that a signal in between repeats no number
            self._write_line({"type": kind, "seq": number, "ts": moment, **fields})

    def warn(self, message: str) -> None:
        """Warn of something that did not stop the command."""
        self.warnings.append(message)
        self.event("warning", message=message)
        if self.is_for_people:
            streams.say(streams.paint("warning: ", "yellow", sys.stderr) + message)

    def note(self, message: str) -> None:
        """Say something that is good to know, and no part of the result."""
        self.event("note", message=message)
        if self.is_for_people:
            streams.say(message)

    def progress(
        self, label: str, total: int, unit: str, *, done: int = 0, quiet_s: float = 0.0
    ) -> "Progress":
        """Return what to tell the progress of long work to.

        Args:
            label: what is done, such as `upload`.
            total: how many units there are to do.
            unit: what is counted, such as `B`.
            done: how many were done before.
            quiet_s: how long nothing is said of it off a terminal.
        """
        from umi_cli.output.progress import Bar, Lines, Silence

        if self.form == "events":
            return _EventProgress(self, label, total, unit)
        if self.form == "json" or sys.stderr is None:
            return Silence()
        if streams.is_terminal(sys.stderr):
            return Bar(label, total, unit, clock=self._clock, draw=streams.draw, done=done)
        return Lines(
            label, total, unit, clock=self._clock, say=streams.say, done=done, quiet_s=quiet_s
        )

    def finish(self, failure: Failure | None) -> None:
        """End the run: print the document, or say on stderr what went wrong."""
        if self._is_delivered:
            self._write_rest(failure)
        elif self.form == "events":
            self.event("result", exit=failure.exit if failure else 0, **self.document(failure))
        elif self.form == "json" and not self.is_announced:
            self._write_line(self.document(failure))
        elif failure:
            streams.say(streams.paint("umi: ", "red", sys.stderr) + failure.message)
            if failure.hint:
                streams.say(streams.paint("hint: ", "bold", sys.stderr) + failure.hint)
        streams.write("", flush=True)

    def _write_rest(self, failure: Failure | None) -> None:
        """End the document that `deliver` began."""
        from umi_cli.output.render import json_line

        document = self.document(failure)
        rest = {name: item for name, item in document.items() if name not in _CERTAIN}
        streams.write("," + json_line(rest).removeprefix("{"), flush=True)

    def _write_line(self, record: dict[str, Any]) -> None:
        from umi_cli.output.render import json_line

        if not self._is_kept:
            streams.write(json_line(record), flush=True)

    def document(self, failure: Failure | None) -> dict[str, Any]:
        """Return the one document of `--json`, for a run that ended so."""
        meta = {
            "version": __version__,
            "port": self.port,
            "device": self.device,
            "duration_ms": round((self._clock() - self._start_s) * 1000),
        }
        return {
            "schema": SCHEMA,
            "ok": failure is None,
            "command": self.command,
            "data": self.data,
            "error": failure.document if failure else None,
            "warnings": self.warnings,
            "meta": meta,
        }


class _EventProgress:
    """Progress as events: one for every whole per cent."""

    def __init__(self, report: Report, label: str, total: int, unit: str) -> None:
        self._report, self._label, self._total, self._unit = report, label, total, unit
        self._percent = -1

    def update(self, done: int) -> None:
        """Print an event if a whole per cent more is done."""
        percent = 100 * done // self._total if self._total else 100
        if percent > self._percent:
            self._percent = percent
            self._report.event(
                "progress", label=self._label, done=done, total=self._total, unit=self._unit
            )

    def make_room(self) -> None:
        """Do nothing: each event stands by itself."""

    def finish(self) -> None:
        """Print nothing: the result says how it ended."""
