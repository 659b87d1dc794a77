"""What `umi certify` tests with: the open device, the keys, and what switches its power."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from umi_cli.cli.orders import Held
from umi_cli.errors import InputError, KeyUnusableError, LostError, NoAnswerError

if TYPE_CHECKING:
    from subprocess import Popen

    from umi_cli.certificates.cvc import Certificate
    from umi_cli.certify.bench import Bench
    from umi_cli.cli.context import App
    from umi_cli.crypto import Signer
    from umi_cli.device.credentials import Scheme1Credentials, Scheme2Credentials
    from umi_cli.device.meter import Meter

PINS = "pins"
POWER_LIMIT_S = 60  # a relay that takes longer hangs
POWER_NOTE_S = 3  # after which the user is told what is waited for
QUIET_S = 0.5
OPTICAL_QUIET_S = 1.6  # protocol 8: a meter may take 1.5 s to react


@dataclass(frozen=True, slots=True, kw_only=True)
class Proofs:
    """What we prove ourselves with, whichever scheme a test is about."""

    credentials: "Scheme2Credentials | None" = None
    role_key: "Scheme1Credentials | None" = None
    authority: "tuple[Certificate, Signer] | None" = None


def proofs_of(app: "App", role_key: str | None, ca_key: str | None, ca_cert: str | None) -> Proofs:
    """Read all keys and certificates before a port is opened.

    Args:
        role_key: `ROLE:SOURCE`, the scheme 1 key of a role.
        ca_key: where the key of an authority is that the device trusts.
        ca_cert: the authority's certificate.

    Raises:
        InputError: an option is missing, or makes no sense.
        KeyUnusableError: a key or certificate cannot be used.
    """
    own: dict[str, Any] = {}
    if not app.settings.is_guest:
        from umi_cli.cli.credentials import credentials_of
        from umi_cli.device.credentials import Scheme1Credentials

        found = credentials_of(app.settings, app)
        own["role_key" if isinstance(found, Scheme1Credentials) else "credentials"] = found
    if role_key is not None:
        own["role_key"] = _role_key(app, role_key)
    if ca_key or ca_cert:
        own["authority"] = _authority(app, ca_key, ca_cert)
    return Proofs(**own)


def _role_key(app: "App", text: str) -> "Scheme1Credentials":
    from umi_cli.cli.credentials import load_key
    from umi_cli.crypto import AesKey
    from umi_cli.device.credentials import Scheme1Credentials
    from umi_cli.types import Role

    name, colon, source = text.partition(":")
    if not colon or not source:
        # What was typed may be the key itself, and is not repeated.
        raise InputError("--role-key wants a role and its key", hint="write service:service.key")
    role, key = Role.parse(name), load_key(app.settings, source)
    if not isinstance(key, AesKey):
        raise KeyUnusableError("a role key is an AES-128 key, and this is a P-256 key")
    return Scheme1Credentials(role=role, key=key)


def _authority(app: "App", ca_key: str | None, ca_cert: str | None) -> "tuple[Certificate, Signer]":
    from umi_cli.cli.credentials import load_chain, load_key
    from umi_cli.crypto import AesKey

    if ca_key is None or ca_cert is None:
        raise InputError("--ca-key and --ca-cert belong together", hint="give both, or neither")
    certificate, signer = load_chain(ca_cert)[0], load_key(app.settings, ca_key)
    if isinstance(signer, AesKey) or signer.public_point != certificate.body.public_point:
        raise KeyUnusableError(f"--ca-key is not the key that {ca_cert} certifies")
    if not certificate.is_authority:
        raise KeyUnusableError(
            f"{ca_cert} is no signing authority's certificate",
            hint="give that of the root, or of an authority below it",
        )
    return certificate, signer


@contextmanager
def bench_of(
    app: "App",
    proofs: Proofs,
    *,
    seed: int,
    quiet_s: float | None,
    power: str | None,
    purpose: str = "certify",
) -> "Iterator[Bench]":
    """Open the device that `--port` names, as guest, with all that passes recorded.

    Args:
        quiet_s: how long a silence must last to be one; by the kind of line if None.
        power: what switches the device off and on: `pins`, or a command.
        purpose: what is done with it, for where there is none.

    Raises:
        UmiError: there is none, or it cannot be reached.
    """
    from umi_cli.certify.bench import Bench, BenchSettings
    from umi_cli.certify.evidence import Recorder
    from umi_cli.connecting import connect
    from umi_cli.types import DEFAULT_READER_ID

    settings = app.settings
    if not settings.port:
        raise InputError(
            f"there is nothing to {purpose}: no device is named",
            hint="name one with -p ADDRESS or UMI_PORT; -p sim is the built-in virtual meter",
        )
    words = _power_words(power)
    kind = kind_of(settings.port)
    app.report.port = settings.port
    recorder = Recorder(tell=_show if settings.verbose > 1 else _ignore)
    with connect(
        settings.port,
        datasheet=settings.datasheet,
        umi_id=settings.umi_id or DEFAULT_READER_ID,
        timeout_s=settings.timeout_s,
        retries=settings.retries,
        observer=recorder,
    ) as meter:
        recorder.set_clock(meter.transport.clock.monotonic)
        bench_settings = BenchSettings(
            answer_s=settings.timeout_s or meter.transport.timeout_s,
            quiet_s=quiet_s or (OPTICAL_QUIET_S if kind == "opto" else QUIET_S),
            kind=kind,
            seed=seed,
            credentials=proofs.credentials,
            role_key=proofs.role_key,
            authority=proofs.authority,
            board=getattr(meter.transport, "board", None),
            power=None if power is None else _switch(app, meter, words),
        )
        bench = Bench(meter, recorder, bench_settings)
        _meet(bench)
        yield bench


def kind_of(port: str) -> str:
    """Return the kind of line of an address, as tests are told it."""
    from umi_cli.transports.address import Address

    kind = Address.parse(port).kind
    return "opto" if kind == "auto" else kind


def _meet(bench: "Bench") -> None:
    """Make sure that somebody is there, before the first test says so.

    Raises:
        NoAnswerError: nobody answers a RESYNC.
    """
    from umi_cli.certify.case import Failure

    try:
        bench.begin("")
    except Failure as error:
        raise NoAnswerError(f"{bench.meter.transport.address}: RESYNC was sent: {error}") from error


def _power_words(power: str | None) -> list[str]:
    """Return the words of the command that switches the power; none for pins, or without one.

    Raises:
        InputError: it cannot be taken apart, or names no program.
    """
    import shlex
    import shutil

    if power in (None, PINS):
        return []
    try:
        words = shlex.split(power or "")
    except ValueError as error:
        raise InputError(f"--power {power!r:.60} cannot be taken apart: {error}") from error
    if not words:
        raise InputError("--power wants pins, or a command that switches off and on")
    if shutil.which(words[0]) is None:
        raise InputError(
            f"--power: there is no program {words[0]!r:.60}", hint="no shell runs it: name a file"
        )
    return words


def _switch(app: "App", meter: "Meter", words: list[str]) -> Callable[[], None]:
    """Return what switches the device off and on: a command, or pins if there is none."""
    if words:
        return lambda: _run_command(app, meter, words)
    restart = getattr(meter.transport, "restart", None)
    if restart is None:
        raise InputError(
            "--power pins: only a Host has pins that switch a device",
            hint="name a command that switches it off and on, or -p spi:BUS.DEVICE?vdd=LINE",
        )

    def cut() -> None:
        if not restart():
            raise LostError("the device did not come back when its power did")

    return cut


def _run_command(app: "App", meter: "Meter", words: list[str]) -> None:
    """Run what switches the device off and on, and bring the device back on its port.

    Raises:
        NotApplicable: the command failed, which says nothing about the device.
        UmiError: the device does not come back.
    """
    from umi_cli.certify.case import NotApplicable

    if reason := _failure_of(app, words):
        reason = f"--power: {words[0]} {reason}"
        app.warn(f"{reason}; whether the device has power is not known")
        raise NotApplicable(reason)
    meter.transport.recover()


def _failure_of(app: "App", words: list[str]) -> str:
    """Run a command to its end; return what is wrong with how it ended, or nothing."""
    import subprocess

    try:
        # Ended in the middle, it might leave the device without power: Ctrl-C waits for it.
        with (
            Held(),
            subprocess.Popen(  # noqa: S603 - the user's own command, without a shell
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                start_new_session=True,
            ) as process,
        ):
            said = _last_words(app, process, words[0])
    except OSError as error:
        return f"did not run: {error.strerror or error}"
    if said is None:
        return f"did not end within {POWER_LIMIT_S} s, and was killed"
    return f"ended with {process.returncode}: {said or 'in silence'}" if process.returncode else ""


def _last_words(app: "App", process: "Popen[bytes]", name: str) -> str | None:
    """Return what a command has said on stderr when it ends; None if it had to be killed."""
    import subprocess

    for wait_s in (POWER_NOTE_S, POWER_LIMIT_S - POWER_NOTE_S):
        try:
            return process.communicate(timeout=wait_s)[1].decode("utf-8", "replace").strip()
        except subprocess.TimeoutExpired:
            if wait_s == POWER_NOTE_S:
                app.note(f"waiting for --power: {name}, for {POWER_LIMIT_S} s at most")
    _kill(process)
    return None


def _kill(process: "Popen[bytes]") -> None:
    """End a command with all that it has started, or what those hold open is waited for."""
    import os
    import signal

    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def _ignore(direction: str, data: bytes) -> None:
    """Say nothing."""


def _show(direction: str, data: bytes) -> None:
    """Log a piece of bytes to stderr."""
    from umi_cli.output import streams
    from umi_cli.output.hexdump import hexdump

    streams.say(f"{direction} {len(data)} bytes")
    streams.say(hexdump(data, indent="  "))
