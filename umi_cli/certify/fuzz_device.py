"""The device under fuzzing: its port may go away and be opened again, and it may need help."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import replace
from types import TracebackType
from typing import Self

from umi_cli.application.codes import ResultCode
from umi_cli.application.security_commands import S2GetCertificate
from umi_cli.certify.bench import Bench
from umi_cli.certify.case import Failure, NotApplicable
from umi_cli.certify.fuzz_bases import Subject
from umi_cli.certify.fuzz_model import Addresses
from umi_cli.device.image_upload import read_running
from umi_cli.errors import LostError, RefusedError, UmiError
from umi_cli.transports.base import Clock
from umi_cli.types import UmiId

RETURN_S = 90.0  # how long a device is waited for: longer than a watchdog needs
POLL_S = 5.0
FIRST_TRIES = 3
_MODEL = "EISGMv0"

OpenBench = Callable[[], AbstractContextManager[Bench]]


class FuzzDevice:
    """The device. Use it in a `with` statement.

    Args:
        open_bench: opens the port, anew each time.
    """

    def __init__(self, open_bench: OpenBench) -> None:
        self._open_bench = open_bench
        self._stack = ExitStack()
        self._bench: Bench | None = None
        self._clock: Clock | None = None
        self._power: Callable[[], None] | None = None
        self._waits_in_vain = False

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with suppress(UmiError):  # it may have been lost for good
            self._stack.close()

    @property
    def bench(self) -> Bench:
        """Return what speaks to it; `LostError` while its port is gone."""
        if self._bench is None:
            raise LostError("the port of the device is gone")
        return self._bench

    def _open(self) -> None:
        self._bench = self._stack.enter_context(self._open_bench())
        self._clock = self._bench.meter.transport.clock
        self._power = self._bench.settings.power

    def _close(self) -> None:
        self._bench = None
        with suppress(UmiError):
            self._stack.close()
        self._stack = ExitStack()

    def revive(self) -> str:
        """Bring back a device that no longer answers; return how it came back.

        Waiting comes before its power is switched, once: where it was in vain it is left out.

        Raises:
            LostError: it did not come back.
        """
        clock = self._clock
        assert clock is not None  # noqa: S101 - the port was open
        begun_s = clock.monotonic()
        if any(self._answers() for _ in range(FIRST_TRIES)):
            return f"by itself, after {clock.monotonic() - begun_s:.0f} s"
        if self._begin_anew():
            return f"when its port was begun anew, after {clock.monotonic() - begun_s:.0f} s"
        until_s = begun_s + (POLL_S if self._waits_in_vain else RETURN_S)
        while clock.monotonic() < until_s:
            clock.sleep(POLL_S)
            if self._answers() or self._begin_anew():
                return f"by itself, after {clock.monotonic() - begun_s:.0f} s"
        self._waits_in_vain = True
        if self._cycle_power():
            return "when its power was switched"
        raise LostError(
            f"the device did not come back within {clock.monotonic() - begun_s:.0f} s",
            hint="switch it off and on; with --power COMMAND that is done by itself",
        )

    def _answers(self) -> bool:
        """Tell whether it answers a RESYNC; the port is opened again if it is gone."""
        try:
            if self._bench is None:
                self._open()
            bench = self.bench
            bench.raw.drain(bench.meter.transport.idle_gap_s)
            bench.sync()
        except Failure:
            return False
        except LostError:
            self._close()
            return False
        except UmiError:  # the port does not open
            return False
        return True

    def _begin_anew(self) -> bool:
        """Have the port do what brings a silent device back, such as to sign on again."""
        if self._bench is None:
            return False
        try:
            self._bench.meter.transport.recover()
        except UmiError:
            return False
        return self._answers()

    def _cycle_power(self) -> bool:
        """Switch its power, if we can; tell whether it answers then, whatever its port does."""
        if self._power is None:
            return False
        try:
            self._power()
        except (NotApplicable, UmiError):  # what switches it has failed, or it stays away
            return False
        return any(self._answers() for _ in range(FIRST_TRIES))


def subject_of(bench: Bench) -> Subject:
    """Find out what cases have to know of the device; `UmiError` or `Failure` if it is mute."""
    bench.sync()
    addresses = Addresses(own=bench.own, peer=bench.peer)
    bench.forget_link()
    session = bench.meter.session
    with suppress(RefusedError):  # it need not say who it is
        session.identify()
    subject = Subject(
        addresses=addresses,
        own_id=session.own_id,
        device_id=session.device_id,
        objects=bench.catalogue.objects,
        model=_model(bench),
        trusts_nobody=_trusts_nobody(bench, session.device_id),
    )
    credentials = bench.settings.credentials
    if credentials is None:
        return subject
    return replace(
        subject,
        sealed_id=credentials.certificate.body.subject,
        role=credentials.role,
        chain=tuple(each.encode() for each in credentials.chain),
    )


def _trusts_nobody(bench: Bench, device_id: UmiId) -> bool:
    """Tell whether the device has no certificate of its own.

    choice: such a one is as its factory gets it, and takes the first root that it is handed.
    """
    answer = bench.result_of(S2GetCertificate(subject=device_id))
    return answer.argument == ResultCode.NO_CERTIFICATE


def _model(bench: Bench) -> str:
    """Return the model as images name it; a virtual meter's if it does not say."""
    model = read_running(bench.meter).model or ""
    return model.strip() if model.strip().isascii() and model.strip() else _MODEL
