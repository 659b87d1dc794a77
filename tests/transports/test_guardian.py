"""Whatever ends a program, its port goes off: by itself if it can, by the guardian if not."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent

import pytest

from tests.rig import build
from tests.rig.gpio import GpioChip
from tests.rig.rig import Rig
from tests.transports.boards import KEEPING, SOC, SPI, command, outputs, run
from tests.transports.ends import wait_until

needs_rig = pytest.mark.skipif(bool(build.why_not()), reason=build.why_not())
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="GPIO lines are Linux's")

OFF = ["RSTB=0", "CSB=1", "HVDD=0", "VDD=0"]
LINES = ("VDD", "HVDD", "RSTB", "CSB", "INTB")
OPEN = """
    port = board(**HIGH_POWER, cs="CSB")
    port.power(True)
    port.reset(False)
    port.select(True)
    say("on")
    """


def is_free(rig: Rig) -> bool:
    return not any(rig.is_held(name) for name in LINES)


@contextmanager
def powered(rig: Rig, script: str = "    time.sleep(60)") -> "Iterator[subprocess.Popen[str]]":
    """Start a program that has a port on, and then runs the script, in a group of its own."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command(dedent(OPEN) + "sys.stdin.readline()\n" + dedent(script)),
        env=rig.env,
        text=True,
        stdin=pipe,
        stdout=pipe,
        stderr=pipe,
        start_new_session=True,
    ) as program:
        assert program.stdin
        assert program.stdout
        assert program.stdout.readline() == '"on"\n'
        try:
            assert (rig.level("VDD"), rig.level("HVDD")) == (True, True)
            program.stdin.write("go\n")
            program.stdin.flush()
            yield program
        finally:
            program.kill()


def check_off(rig: Rig) -> None:
    """Wait for everything to be off and released, and see that it went in order."""
    wait_until(lambda: is_free(rig))
    log = outputs(rig.log)
    assert [one for one in log if "=" in one][-4:] == OFF
    assert log.index("-RSTB") > max(at for at, one in enumerate(log) if one == "VDD=0")
    assert (rig.level("VDD"), rig.level("HVDD")) == (False, False)


# Under the rig: what the wires see.


@needs_rig
@pytest.mark.parametrize("chip", [SOC, KEEPING], ids=["lets go", "keeps"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV, signal.SIGHUP])
def test_a_program_that_is_killed_leaves_nothing_on(chip: GpioChip, number: int) -> None:
    with Rig(spi=[SPI], chips=[chip]) as rig:
        with powered(rig) as program:
            program.send_signal(number)
            assert program.wait(30) == -number
        check_off(rig)


@needs_rig
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_the_group_does_not_reach_the_guardian(number: int) -> None:
    with Rig(spi=[SPI], chips=[KEEPING]) as rig:
        with powered(rig) as program:
            os.killpg(program.pid, number)
            assert program.wait(30) == -number
        check_off(rig)


@needs_rig
@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("raise KeyError", 1),
        ("sys.exit(3)", 3),
        ("os._exit(4)", 4),
        ("os.execv(sys.executable, [sys.executable, '-c', 'raise SystemExit(5)'])", 5),
        ("with port: raise KeyError", 1),
        ("with port: sys.exit(6)", 6),
        ("os.kill(os.getpid(), signal.SIGINT); time.sleep(60)", -signal.SIGINT),
        ("os.abort()", -signal.SIGABRT),
    ],
)
def test_a_program_that_ends_leaves_nothing_on(script: str, code: int) -> None:
    with Rig(spi=[SPI], chips=[KEEPING]) as rig:
        with powered(rig, f"    {script}") as program:
            assert program.wait(30) == code
        check_off(rig)


@needs_rig
def test_a_program_that_another_one_replaces_leaves_nothing_on_at_once() -> None:
    with Rig(spi=[SPI], chips=[KEEPING]) as rig:
        script = "    os.execvp('sleep', ['sleep', '60'])"
        with powered(rig, script):
            check_off(rig)


@needs_rig
def test_a_port_that_is_closed_goes_off_once_and_its_guardian_ends() -> None:
    with Rig(spi=[SPI], chips=[KEEPING]) as rig:
        said = run(
            rig,
            dedent(OPEN)
            + dedent(
                """
                child, = children()
                group = os.getpgid(int(child)) == int(child)
                port.close()
                say(group, children())
                """
            ),
        )
        log = outputs(rig.log)
        assert is_free(rig)
    assert said == ["on", [True, []]]
    assert log.count("VDD=0") == 2  # when it was requested, and when it was closed
    assert [one for one in log if "=" in one][-4:] == OFF


@needs_rig
def test_a_close_that_is_interrupted_is_ended_by_the_guardian() -> None:
    with (
        Rig(spi=[SPI], chips=[KEEPING]) as rig,
        powered(
            rig,
            """
            class Interrupted:
                def __init__(self, request): self.release = request.release
                def __bool__(self): raise KeyboardInterrupt
            vdd = port._pins.power[0]
            vdd._request = Interrupted(vdd._request)  # here, and not in the child
            try: port.close()
            except KeyboardInterrupt: say("interrupted")
            sys.stdin.readline()
            """,
        ) as program,
    ):
        assert program.stdout
        # The guardian's own steps are the real ones only if it was started before.
        assert program.stdout.readline() == '"interrupted"\n'
        check_off(rig)
        program.communicate("go\n", timeout=30)


@needs_rig
def test_the_guardian_holds_nothing_but_the_lines() -> None:
    """Who reads the program's output is not kept waiting, nor is the bus kept open."""
    with Rig(spi=[SPI], chips=[KEEPING]) as rig, powered(rig) as program:
        (child,) = Path(f"/proc/{program.pid}/task/{program.pid}/children").read_text().split()
        assert len(os.listdir(f"/proc/{child}/fd")) == 5  # four lines and the socket
        program.kill()
        out, err = program.communicate(timeout=30)
        assert (out, err) == ("", "")


@needs_rig
def test_a_guardian_that_was_killed_is_not_missed() -> None:
    with Rig(spi=[SPI], chips=[KEEPING]) as rig:
        said = run(
            rig,
            dedent(OPEN)
            + dedent(
                """
                child, = children()
                os.kill(int(child), signal.SIGKILL)
                while os.waitid(os.P_PID, int(child), os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
                    time.sleep(0.001)
                port.close()
                """
            ),
        )
        check_off(rig)
    assert said == "on"


@needs_rig
def test_two_ports_are_guarded_apart() -> None:
    second = GpioChip(number=1, label="second", lines=["V2", "R2", "I2"], keeps_outputs=True)
    with Rig(spi=[SPI], chips=[KEEPING, second]) as rig:
        script = """
            other = board(int="I2", rst="R2", vdd="V2")
            other.power(True)
            port.close()
            say("closed")
            sys.stdin.readline()
            """
        with powered(rig, script) as program:
            assert program.stdout
            assert program.stdout.readline() == '"closed"\n'
            assert (rig.level("VDD"), rig.level("V2"), is_free(rig)) == (False, True, True)
            program.kill()
        wait_until(lambda: not rig.is_held("V2"))
        assert not rig.level("V2")


@needs_rig
def test_without_a_guardian_there_is_no_port() -> None:
    with Rig(spi=[SPI], chips=[SOC]) as rig:
        code, message, hint = run(
            rig,
            """
            def fork(): raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
            os.fork = fork
            say(refusal(board, **LOW_POWER))
            """,
        )
        assert is_free(rig)
    assert code == "no-such-port"
    assert "if this one is killed (Resource temporarily unavailable)" in message
    assert "ulimit -u" in hint


# Without it: what the processes do.

GUARDIAN = """
import errno, json, os, signal, sys, time
from functools import partial
from umi_cli.errors import LostError
from umi_cli.transports.guardian import Guardian

told, tells = os.pipe()
def tell(text): os.write(tells, text)
def fail(error): raise error
def guard(*texts): return Guardian([partial(tell, text) for text in texts], [tells])
def heard():
    "Return what the guardians said, when none is left that could say more."
    global tells
    os.close(tells)
    return os.read(told, 100).decode()
"""


def play(script: str) -> object:
    """Run a script without a rig, and return what it said in JSON."""
    done = subprocess.run(
        [sys.executable, "-bb", "-W", "error", "-c", GUARDIAN + dedent(script)],
        text=True,
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


def test_a_farewell_ends_it_without_a_step() -> None:
    assert (
        play(
            """
            with guard(b"off"): pass
            print(json.dumps(heard()))
            """
        )
        == ""
    )


def test_what_is_raised_on_the_way_has_it_take_the_steps() -> None:
    assert (
        play(
            """
            try:
                with guard(b"a", b"b"): raise KeyError
            except KeyError: print(json.dumps(heard()))
            """
        )
        == "ab"
    )


def test_a_step_that_fails_does_not_keep_the_next_from_being_taken() -> None:
    assert (
        play(
            """
            steps = [partial(fail, OSError(errno.ENODEV, "gone")), partial(tell, b"a"),
                partial(fail, LostError("gone")), partial(tell, b"b")]
            try:
                with Guardian(steps, [tells]): raise KeyError
            except KeyError: print(json.dumps(heard()))
            """
        )
        == "ab"
    )


def test_a_step_with_a_bug_ends_it_in_silence() -> None:
    assert (
        play(
            """
            steps = [partial(fail, TypeError("a bug")), partial(tell, b"a")]
            try:
                with Guardian(steps, [tells]): raise KeyError
            except KeyError: print(json.dumps(heard()))
            """
        )
        == ""
    )


def test_one_that_cannot_watch_is_told_before_anything_is_on() -> None:
    said = play(
        """
        def setsid(): raise PermissionError
        os.setsid = setsid
        opened = len(os.listdir("/proc/self/fd"))
        try: guard(b"off")
        except OSError as error:
            print(json.dumps([error.errno == errno.ECHILD, error.strerror, heard(),
                len(os.listdir("/proc/self/fd")) == opened - 1]))
        """
    )
    assert said == [True, "the guardian has ended", "", True]


def test_children_that_outlive_the_program_do_not_keep_it_waiting() -> None:
    """Neither one that runs on as a copy, nor one that runs another program."""
    said = play(
        """
        import subprocess
        program = os.fork()
        if not program:
            guardian = guard(b"off")
            sleeper = subprocess.Popen(["sleep", "5"], close_fds=False, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL)
            if not os.fork():
                os.close(tells)
                with guardian: pass  # not its own
                devnull = os.open(os.devnull, os.O_RDWR)
                for fd in (1, 2): os.dup2(devnull, fd)
                time.sleep(5)
            os._exit(0)
        os.waitpid(program, 0)
        began = time.monotonic()
        heard_it = os.read(told, 100).decode()
        print(json.dumps([heard_it, time.monotonic() - began < 4]))
        """
    )
    assert said == ["off", True]


def test_signals_and_their_handlers_are_as_before() -> None:
    said = play(
        """
        called = []
        signal.signal(signal.SIGTERM, lambda *_: called.append("SIGTERM"))
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGINT})
        before = signal.pthread_sigmask(signal.SIG_BLOCK, set())
        with guard(b"off"):
            os.kill(os.getpid(), signal.SIGTERM)
        after = signal.pthread_sigmask(signal.SIG_BLOCK, set())
        print(json.dumps([before == after, called, heard()]))
        """
    )
    assert said == [True, ["SIGTERM"], ""]


def test_a_program_that_ignores_its_children_is_not_kept_waiting() -> None:
    assert (
        play(
            """
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            with guard(b"off"): pass
            print(json.dumps(heard()))
            """
        )
        == ""
    )


def test_a_program_with_threads_starts_it_without_a_warning() -> None:
    assert (
        play(
            """
            import threading
            ends = threading.Event()
            thread = threading.Thread(target=ends.wait)
            thread.start()
            with guard(b"off"): pass
            ends.set()
            thread.join()
            print(json.dumps(heard()))
            """
        )
        == ""
    )
