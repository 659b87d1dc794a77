"""Short work that orders to end wait for."""

import signal

import pytest

from umi_cli.transports.undisturbed import undisturbed


def test_an_order_comes_when_the_work_is_done() -> None:
    done = []

    def work() -> None:
        with undisturbed():
            signal.raise_signal(signal.SIGINT)
            done.append("all of it")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done


def test_an_error_is_no_reason_to_stay_deaf() -> None:
    with pytest.raises(OSError, match="gone"), undisturbed():
        raise OSError("the port is gone")
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, [])
