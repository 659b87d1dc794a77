"""Following an event log: by subscription, by asking, over links that are lost."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.event_state import log_events, logged_events
from umi_cli.connecting import connect
from umi_cli.device.event_log import LoggedEvent
from umi_cli.device.following import HEARTBEAT_S, Follower
from umi_cli.device.lasting import AnotherDeviceError, LastingConnection
from umi_cli.device.meter import Meter
from umi_cli.errors import InputError, LostError
from umi_cli.types import UmiId, to_datetime

ALL = (1 << 26) - 1
SINCE_EVER = datetime(2000, 1, 1, 0, 0, 1, tzinfo=UTC)


class Follow:
    """A follower of an address, and what it told."""

    def __init__(
        self,
        address: str,
        when_told: Callable[["Follow"], object] = lambda follow: None,
        **options: float,
    ) -> None:
        self.told: list[str] = []
        self.when_told = when_told
        self.connections = 0
        self.address = address
        self.connection = LastingConnection(
            self._connect, self.told.append, max_failures=int(options.get("failures", 20))
        )
        self.follower = Follower(
            self.connection,
            every_s=options.get("every_s", 10.0),
            wanted=int(options.get("wanted", ALL)),
            for_s=options.get("for_s"),
            tell=self._hear,
        )

    def _hear(self, told: str) -> None:
        self.told.append(told)
        self.when_told(self)

    @contextmanager
    def _connect(self) -> Iterator[Meter]:
        def hear(source: UmiId, events: int, timestamp_s: int) -> None:
            self.follower.hear(events, timestamp_s)

        self.connections += 1
        with connect(self.address.format(self.connections), on_event=hear) as meter:
            yield meter

    def events(self, since: datetime | None = None) -> Iterator[LoggedEvent]:
        return self.follower.events(lambda: since)

    @property
    def meter(self) -> Meter:
        return self.connection.meter()


def numbers(found: Iterator[LoggedEvent], count: int) -> list[int]:
    return [next(found).number for _ in range(count)]


@pytest.mark.parametrize(
    ("address", "how"),
    [
        ("spi:sim?as=service", "following by subscription"),
        ("sim:?as=service", "following by asking every 10 s: over this port a device"),
    ],
)
def test_each_new_event_comes_once(address: str, how: str) -> None:
    follow = Follow(address)
    with follow.connection:
        found = follow.events(SINCE_EVER)
        assert numbers(found, 1) == [16]
        for state in ("closed", "open", "closed"):
            follow.meter.write("valve", state)
            assert numbers(found, 1) == [{"closed": 6, "open": 5}[state]]
        follow.meter.write("valve", "open")
        follow.meter.write("valve", "closed")
        assert numbers(found, 2) == [5, 6]
    assert [told for told in follow.told if told.startswith(how)]


@pytest.mark.parametrize("address", ["spi:sim?as=service", "sim:?as=service"])
def test_whatever_happens_once_it_is_said_to_be_followed_comes(address: str) -> None:
    follow = Follow(address, lambda follow: follow.meter.write("valve", "closed"))
    with follow.connection:
        assert numbers(follow.events(), 1) == [6]
    assert len(follow.told) == 1


def test_what_is_published_is_read_at_once() -> None:
    follow = Follow("spi:sim?as=service")
    with follow.connection:
        found = follow.events(SINCE_EVER)
        assert numbers(found, 1) == [16]
        before_s = follow.connection.now_s
        follow.meter.write("valve", "closed")
        assert numbers(found, 1) == [6]
        assert follow.connection.now_s - before_s < HEARTBEAT_S / 10


def test_a_subscription_that_is_refused_is_said() -> None:
    follow = Follow("spi:sim?as=service", wanted=1 << 26)  # no event has this number
    with follow.connection:
        assert numbers(follow.events(SINCE_EVER), 1) == [16]
    assert follow.told == [
        "following by asking every 10 s: the device refused EVENT_SUBSCRIBE: UNKNOWN_EVENT (15)"
    ]


def test_an_event_without_a_bit_is_asked_for() -> None:
    follow = Follow("spi:sim?as=service", wanted=0, for_s=30)
    with follow.connection:
        assert list(follow.events()) == []
    assert "none of these events can be subscribed to" in follow.told[0]


def test_a_publication_that_is_not_in_the_log_is_said() -> None:
    follow = Follow("sim:?as=service", for_s=30)
    with follow.connection:
        found = follow.events()
        follow.follower.hear(1 << 5, 700_000_000)
        assert list(found) == []
    assert follow.told[-1] == "published at 2022-03-07T20:26:40Z, and not in the log: event 5"


def test_a_log_that_was_cut_is_said() -> None:
    follow = Follow("sim:?as=service")
    with follow.connection:
        found = follow.events(SINCE_EVER)
        assert numbers(found, 1) == [16]
        follow.meter.session.listen(5)
        follow.meter.write("valve", "closed")
        status = follow.meter.read("event-status").value
        assert isinstance(status, dict)
        start = {"start_time": status["latest_timestamp"], "flags": 0, "acknowledge": 0}
        follow.meter.write("event-control", start)
        assert numbers(found, 1) == [6]
    assert "no longer in the log" in follow.told[-1]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("fault", ["hangup:0.02", "drop:0.1,flip:0.1", "power:0.02", "all:0.01"])
def test_every_event_comes_once_and_in_order_over_a_bad_line(
    tmp_path: Path, seed: int, fault: str
) -> None:
    state = tmp_path / "meter.json"
    log_events(state, [(5 + number % 2, 800_000_000 + number // 3, "") for number in range(400)])
    follow = Follow(f"sim:{state}", for_s=900)
    with follow.connection:
        follow.connection.remember_identity()
        follow.address = f"sim:{state}?fault={fault}&seed={seed}{{}}"  # another line each time
        follow.connection.failed(LostError("the line is bad from now on"))
        came = [(each.number, each.time) for each in follow.events(SINCE_EVER)]
    logged = [(number, to_datetime(time_s)) for number, time_s, _ in logged_events(state)]
    assert len(came) >= 400
    assert came == logged[: len(came)]
    assert len(logged) - len(came) <= 2, "all but what came with the very end"


def test_another_device_is_not_taken_for_it() -> None:
    follow = Follow("sim:?umi-id=00237EFE00000011")
    with follow.connection:
        found = follow.events(SINCE_EVER)
        assert numbers(found, 1) == [16]
        follow.address = "sim:?umi-id=00237EFE00000022"
        follow.connection.failed(LostError("gone"))
        with pytest.raises(AnotherDeviceError, match="00237EFE00000022, and not 00237EFE00000011"):
            next(found)


def failing(error: Exception) -> Callable[[], AbstractContextManager[Meter]]:
    def fail() -> AbstractContextManager[Meter]:
        raise error

    return fail


def test_so_many_failures_in_a_row_are_too_many() -> None:
    follow = Follow("sim", failures=3)
    with follow.connection:
        found = follow.events(SINCE_EVER)
        assert numbers(found, 1) == [16]
        follow.address = "tcp:127.0.0.1:1"  # nobody listens there
        follow.connection.failed(LostError("gone"))
        with pytest.raises(Exception, match="nothing listens there"):
            next(found)
    assert follow.told[-1] == "the device was lost: gone"


def test_what_does_not_pass_by_itself_ends_it_at_once() -> None:
    connection = LastingConnection(failing(InputError("no")), lambda told: None, max_failures=9)
    with pytest.raises(InputError):
        connection.failed(InputError("no"))
    with pytest.raises(InputError):
        connection.meter()
