"""`umi fuzz --as-meter --tcp`: a meter that spoils what it sends, for any reader that calls.

It judges nobody: whether a reader has survived is seen at the reader.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from umi_cli.cli import fuzz_files
from umi_cli.cli.certify_reader import tell_addresses
from umi_cli.cli.fuzz_meter import counted
from umi_cli.cli.orders import Terminated
from umi_cli.errors import InputError
from umi_cli.output.render import Table, View
from umi_cli.transports.address import Address, parse_host_and_port
from umi_cli.virtual.fuzzing import FuzzingMeter, Spoiling, Spoilt
from umi_cli.virtual.serve import Server
from umi_cli.virtual.setup import SimOptions, Simulation

if TYPE_CHECKING:
    from umi_cli.cli.context import App
    from umi_cli.cli.fuzz import Wishes
    from umi_cli.virtual.channels import Watch

RATE = 0.1  # of the answers
MAX_KEPT = 10_000  # spoilt answers in a file


def serve_spoilt(app: "App", wishes: "Wishes", place: str) -> None:
    """Serve a meter that spoils what it sends, until it has spoilt enough or its time is up.

    Args:
        place: where it listens.

    Raises:
        InputError: no reader came.
        KeyboardInterrupt, Terminated: the user has ended it.
    """
    if wishes.cases == 0:
        raise InputError("--cases 0 would spoil nothing", hint="leave it out for no end")
    session = _Serving(app, wishes)
    try:
        session.run(_options(app), *parse_host_and_port(place))
    except (KeyboardInterrupt, Terminated):
        session.tell("it was interrupted")
        raise
    session.tell()
    if not session.meter.frames:
        raise InputError(
            "no reader came, or none that speaks UMI",
            hint="serve for longer, and have a reader call meanwhile",
        )


class _Serving:
    """What is served, and what is known of who came.

    Args:
        app: who tells.
        wishes: what the user says of the run.
    """

    def __init__(self, app: "App", wishes: "Wishes") -> None:
        self._app, self._wishes = app, wishes
        chance = Random(f"{wishes.seed}:as-meter")  # noqa: S311 - repeatable on purpose
        self.meter = FuzzingMeter(chance, RATE, Spoiling.FORGERY, self._on_spoilt, wishes.cases)
        self.addresses: list[str] = []
        self._calls = 0
        self._kept: list[dict[str, Any]] = []
        self._stop: Callable[[], None] = lambda: None
        self._begun_s = time.monotonic()

    def run(self, options: SimOptions, host: str, port: int) -> None:
        """Serve until it is enough."""
        for_s = self._wishes.for_s
        simulation = Simulation(replace(options, defect=lambda: self.meter), time.time())
        try:
            with Server(simulation, watch=self._counting(self._app.watch())) as server:
                self._stop = server.stop
                self.addresses = [server.listen(host, port)]
                tell_addresses(self._app, self.addresses)
                self._begun_s = time.monotonic()
                server.run(float("inf") if for_s is None else self._begun_s + for_s)
        finally:
            simulation.close()

    def _counting(self, watch: "Callable[[str], Watch | None]") -> "Callable[[str], Watch | None]":
        """Return what counts the calls, and watches them as before."""

        def count(name: str) -> "Watch | None":
            self._calls += 1
            return watch(name)

        return count

    def _on_spoilt(self, spoilt: Spoilt) -> None:
        record = {
            "number": spoilt.number,
            "what": spoilt.what,
            "sound": spoilt.sound.hex(),
            "sent": [each.hex() for each in spoilt.sent],
        }
        self._app.event("spoilt", **record)
        if self._wishes.out is not None and len(self._kept) < MAX_KEPT:
            self._kept.append(record)
        if spoilt.number == self._wishes.cases:
            self._stop()

    def tell(self, stopped: str = "") -> None:
        """Give the result, and write it where it is wanted."""
        meter = self.meter
        data: dict[str, Any] = {
            "seed": self._wishes.seed,
            "addresses": self.addresses,
            "duration_s": round(time.monotonic() - self._begun_s, 3),
            "calls": self._calls,
            "readers": [
                {"umi_id": str(umi_id), "commands": count}
                for umi_id, count in sorted(meter.readers.items())
            ],
            "frames": meter.frames,
            "spoilt": dict(sorted(meter.counts.items())),
            "stopped": stopped,
        }
        if self._wishes.out is not None:
            from umi_cli import __version__

            left_out = meter.counts.total() - len(self._kept)
            found = {"version": __version__, **data, "answers": self._kept, "left_out": left_out}
            fuzz_files.write_json(Path(self._wishes.out), found)
        self._app.emit(data, _view(data))


def _view(data: dict[str, Any]) -> View:
    readers = [f"{each['umi_id']} ({each['commands']} commands)" for each in data["readers"]]
    rows = {
        "calls": f"{data['calls']} in {data['duration_s']:.1f} s",
        "readers": ", ".join(readers) or "none",
        "frames": data["frames"],
        "spoilt": counted(data["spoilt"]),
        "seed": data["seed"],
        "stopped": data["stopped"],
        "judged": "nothing: whether a reader has survived is seen at the reader",
    }
    shown = {name: text for name, text in rows.items() if text != ""}
    return View(
        blocks=[Table.pairs(shown)],
        csv=Table(columns=("what", "count"), rows=data["spoilt"].items()),
    )


def _options(app: "App") -> SimOptions:
    """Return what the meter is: as `-p sim:?…` says it, or as delivered."""
    settings = app.settings
    if not settings.port:
        return SimOptions(datasheet=settings.datasheet)
    address = Address.parse(settings.port)
    if address.kind != "sim":
        raise InputError(
            "with --as-meter there is no device to call",
            hint="-p sim:?key=FILE&cert=FILE&anchor=FILE says what the meter is",
        )
    options = SimOptions.from_query(address.target, address.options)
    return replace(options, datasheet=options.datasheet or settings.datasheet)
