"""How a device's events are followed as they happen: by subscription, or by asking now and then.

Protocol 3.2 and 4. What is published says what happened and when, and no more, and only for events
0 to 31: so a publication is a reason to read the log at once, and the log alone is given. Where a
device was lost meanwhile, what is read is joined to what was seen last.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from umi_cli.application.commands import EventSubscribe
from umi_cli.device.event_log import MAX_BIT, EventLog, EventStatus, LoggedEvent
from umi_cli.device.lasting import LastingConnection
from umi_cli.device.meter import Meter
from umi_cli.device.schedule import INSTANT_S
from umi_cli.errors import RefusedError, UmiError
from umi_cli.types import format_datetime, to_datetime

SEEN = 64  # entries that are kept to find the place in the log again
LISTEN_S = 0.5  # how long a publication may lie unread
HEARTBEAT_S = 60.0  # under a subscription: a device that lost its power knows nothing of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What a device has published."""

    events: int
    """Bit n stands for event n."""
    timestamp_s: int
    """When, as a UMI datetime."""


class Follower:
    """Follows the event log of a device.

    Args:
        connection: to the device.
        every_s: how often to ask where the device does not publish.
        wanted: the events to subscribe to, bit n stands for event n.
        for_s: when to stop; None: never.
        tell: told how it is followed, and where something may be missing.
    """

    def __init__(
        self,
        connection: LastingConnection,
        *,
        every_s: float,
        wanted: int,
        for_s: float | None,
        tell: Callable[[str], None],
    ) -> None:
        self._connection = connection
        self._every_s = every_s
        self._wanted = wanted
        self._end_s = math.inf if for_s is None else for_s
        self._tell = tell
        self._meter: Meter | None = None
        self._status: EventStatus | None = None
        self._seen: list[LoggedEvent] = []
        self._heard: list[Publication] = []
        self._is_subscribed = False
        self._how = ""

    def hear(self, events: int, timestamp_s: int) -> None:
        """Take a publication."""
        self._heard.append(Publication(events=events, timestamp_s=timestamp_s))

    def events(self, since: Callable[[], datetime | None]) -> Iterator[LoggedEvent]:
        """Yield the entries since a moment, then every new one.

        Args:
            since: asked once the device is connected; None: new ones alone.

        Raises:
            UmiError: the log cannot be read, or the device was lost for good.
        """
        self._connection.remember_identity()  # a device that never answers is not waited for
        self._end_s += self._connection.now_s
        yield from self._begin_with(since)
        while True:
            is_last = not self._wait()
            yield from self._look()
            if is_last:
                return

    def _begin_with(self, since: Callable[[], datetime | None]) -> list[LoggedEvent]:
        """Return the entries since a moment; a link that is lost meanwhile is no reason to end."""
        while True:
            try:
                log = self._begin(self._connection.meter())
                moment = since()
                found = log.last() if moment is None else _whole(log, moment)
            except RefusedError:
                raise
            except UmiError as error:
                self._connection.failed(error)
                self._connection.wait(self._connection.now_s + self._every_s)
            else:
                self._connection.succeeded()
                self._seen = found[-SEEN:]
                self._tell(f"following {self._how}")  # only now is whatever happens a new event
                if moment is None:
                    return []
                return [each for each in found if each.time is None or each.time >= moment]

    def _wait(self) -> bool:
        """Wait until there may be something; False: that is the last time."""
        connection = self._connection
        pace_s = max(HEARTBEAT_S, self._every_s) if self._is_subscribed else self._every_s
        until_s = min(connection.now_s + pace_s, self._end_s)
        while not self._heard and (left_s := until_s - connection.now_s) > INSTANT_S:
            step_s = min(left_s, LISTEN_S) if self._is_subscribed else left_s
            connection.wait(connection.now_s + step_s)
        return connection.now_s < self._end_s - INSTANT_S

    def _look(self) -> list[LoggedEvent]:
        """Read what is new; nothing if that failed, for it is found the next time."""
        try:
            found = self._read()
        except UmiError as error:
            self._meter = None
            self._connection.failed(error)
            return []
        self._connection.succeeded()
        return found

    def _read(self) -> list[LoggedEvent]:
        meter = self._connection.meter()
        is_same = meter is self._meter
        log = EventLog(meter) if is_same and not self._is_subscribed else self._begin(meter)
        heard, self._heard = self._heard, []
        status = log.status()
        if is_same and status == self._status:
            self._tell_unlogged(heard)
            return []
        newer = log.newer(self._seen)
        self._status = status
        if newer.is_broken and newer.elements:
            self._tell(
                "the last event seen is no longer in the log (erased, overwritten, or behind the"
                " head-end's read pointer): some may be missing here"
            )
        self._seen = (self._seen + newer.elements)[-SEEN:]
        self._tell_unlogged(heard)
        return newer.elements

    def _begin(self, meter: Meter) -> EventLog:
        """Subscribe, where the device may command us."""
        self._meter = meter
        reason = self._subscribe(meter)
        self._is_subscribed = not reason
        self._how = (
            f"by asking every {self._every_s:g} s: {reason}" if reason else "by subscription"
        )
        return EventLog(meter)

    def _subscribe(self, meter: Meter) -> str:
        """Subscribe; return why not, if not."""
        if not meter.session.link.settings.accepts_commands:
            return "over this port a device publishes nothing to us"
        if not self._wanted:
            return "none of these events can be subscribed to"
        try:
            meter.session.request(EventSubscribe(events=self._wanted, signature_scheme=0))
        except RefusedError as error:
            return str(error)
        return ""

    def _tell_unlogged(self, heard: list[Publication]) -> None:
        """Say what was published and is not in the log: its window may begin later."""
        logged = {(event.bit, event.time) for event in self._seen}
        for publication in heard:
            time = to_datetime(publication.timestamp_s)
            missing = [
                str(number)
                for number in range(MAX_BIT + 1)
                if publication.events >> number & 1 and (1 << number, time) not in logged
            ]
            if missing:
                when = format_datetime(publication.timestamp_s) or "no time"
                self._tell(f"published at {when}, and not in the log: event {', '.join(missing)}")


def _whole(log: EventLog, moment: datetime) -> list[LoggedEvent]:
    """Return the entries from a moment on, all of them; raises why some did not come."""
    tail = log.since(moment)
    if tail.failure:
        raise tail.failure
    return tail.elements
