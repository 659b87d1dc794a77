"""Orders from outside: held back in a block, and obeyed at its end."""

import signal
from collections.abc import Iterator

import pytest

from umi_cli.cli.orders import Held, HungUp, Orders, Terminated


@pytest.fixture(autouse=True)
def _as_the_program_does() -> Iterator[None]:
    """Obey orders as the program does, and give pytest its own handlers back."""
    orders = Orders()
    before = orders.handlers
    orders.obey()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


ORDERS = {
    signal.SIGINT: KeyboardInterrupt,
    signal.SIGTERM: Terminated,
    signal.SIGHUP: HungUp,
}


@pytest.mark.parametrize("number", ORDERS)
def test_an_order_in_a_block_is_obeyed_at_its_end(number: signal.Signals) -> None:
    finished = []

    def begin_and_finish() -> None:
        with Held():
            signal.raise_signal(number)
            finished.append("what was begun")

    with pytest.raises(ORDERS[number]):
        begin_and_finish()
    assert finished
    with pytest.raises(ORDERS[number]):
        signal.raise_signal(number)


def test_the_first_of_several_is_obeyed() -> None:
    def take_two() -> None:
        with Held():
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Terminated):
        take_two()


def test_an_error_in_the_block_goes_on() -> None:
    with pytest.raises(OSError, match="no such program"), Held():
        raise OSError("no such program")
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_what_the_parent_had_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with Held():
        signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(signal.SIGHUP)
