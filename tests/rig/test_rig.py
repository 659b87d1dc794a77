"""Genuine spidev and gpiod modules, in processes of their own, on the rig."""

import errno
import json
import os
import re
import signal
import stat
import sys
import tempfile
import time
from pathlib import Path
from textwrap import dedent
from typing import Any, TypeVar

import pytest

from tests.rig import build
from tests.rig.drivers import UnsupportedError
from tests.rig.gpio import GpioChip
from tests.rig.records import (
    LineFlag,
    LineInput,
    LineOutput,
    LineReconfigured,
    LineReleased,
    LineRequested,
    Record,
    SpiClosed,
    SpiOpened,
    SpiTransfer,
)
from tests.rig.rig import Rig
from tests.rig.spi import CPHA, CPOL, NO_CS, SpiDevice
from tests.rig.world import EmptyWorld
from tests.transports.ends import wait_until

pytestmark = pytest.mark.skipif(bool(build.why_not()), reason=build.why_not())

Kind = TypeVar("Kind", bound=Record)

SPI = SpiDevice(bus=0, device=0)
SOC = GpioChip(
    number=0,
    label="pinctrl-soc",
    lines=["ID_SD", "VDD", "RSTB", "CSB", "INTB", "", "CE0"],
    held={"CE0": "spi0 CS0"},
)
EXPANDER = GpioChip(number=3, label="expander", lines=["P0", "P1"])

PREAMBLE = """
import errno, glob, json, os, select, sys, time
import gpiod, spidev
from gpiod.line import Bias, Direction, Drive, Edge, Value

ON, OFF = Value.ACTIVE, Value.INACTIVE

def say(*what): print(json.dumps(what[0] if len(what) == 1 else what), flush=True)

def errno_of(act, *args):
    try: act(*args)
    except OSError as error: return error.errno
    return 0

def output(value, **more):
    return gpiod.LineSettings(direction=Direction.OUTPUT, output_value=value, **more)

def both_edges(**more):
    return gpiod.LineSettings(direction=Direction.INPUT, edge_detection=Edge.BOTH, **more)
"""


def command(script: str) -> tuple[str, ...]:
    return (sys.executable, "-bb", "-W", "error", "-c", PREAMBLE + dedent(script))


def run(rig: Rig, script: str) -> Any:
    """Run a script to its end, and return what it said."""
    done = rig.run(*command(script))
    assert not done.returncode, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    return said[0] if len(said) == 1 else said


def of_kind(log: tuple[Record, ...], kind: type[Kind]) -> list[Kind]:
    return [record for record in log if isinstance(record, kind)]


class Loopback(EmptyWorld):
    """MISO is joined to MOSI."""

    def transfer(self, transfer: SpiTransfer) -> bytes:
        return transfer.sent


# SPI.


def test_what_is_sent_comes_back() -> None:
    with Rig(Loopback(), spi=[SPI]) as rig:
        said = run(
            rig,
            """
            spi = spidev.SpiDev()
            spi.open(0, 0)
            say(spi.xfer([1, 2]), spi.xfer2((3, 4)), spi.xfer3([5, 6]), spi.readbytes(2))
            spi.writebytes([7]); spi.writebytes2(b"\\x08\\x09")
            spi.close()
            """,
        )
        assert said == [[1, 2], [3, 4], [5, 6], [0, 0]]
        first, *transfers, last = rig.log
    assert (type(first), type(last)) == (SpiOpened, SpiClosed)
    sent = [b"\x01\x02", b"\x03\x04", b"\x05\x06", bytes(2), b"\x07", b"\x08\x09"]
    assert [one.sent for one in transfers if isinstance(one, SpiTransfer)] == sent
    assert [one.number for one in rig.log] == list(range(8))


def test_the_far_end_sees_how_it_is_clocked() -> None:
    with Rig(Loopback(), spi=[SpiDevice(bus=1, device=2, max_speed_hz=10_000_000)]) as rig:
        said = run(
            rig,
            """
            spi = spidev.SpiDev(1, 2)
            say(spi.mode, spi.max_speed_hz, spi.bits_per_word, spi.lsbfirst, spi.cshigh, spi.no_cs)
            spi.xfer2([1])
            spi.mode, spi.max_speed_hz, spi.lsbfirst, spi.cshigh = 3, 1_000_000, True, True
            spi.xfer2([2])
            spi.no_cs, spi.cshigh, spi.max_speed_hz = True, False, 50_000_000
            spi.xfer2([3])
            spi.bits_per_word = 16
            say(errno_of(spi.xfer2, [4]))
            spi.xfer2([4, 5], 500_000)
            """,
        )
        assert said == [[0, 10_000_000, 8, False, False, False], errno.EINVAL]
        plain, tuned, alone, wide = of_kind(rig.log, SpiTransfer)
    assert (plain.bus, plain.device, plain.mode, plain.hz) == (1, 2, 0, 10_000_000)
    assert (plain.lsb_first, plain.hardware_select, plain.select_is_high) == (False, True, False)
    assert not plain.stays_selected
    assert (tuned.mode, tuned.hz, tuned.lsb_first, tuned.select_is_high) == (3, 10**6, True, True)
    assert (alone.hardware_select, alone.hz) == (False, 10_000_000)
    assert (wide.bits_per_word, wide.hz) == (16, 500_000)
    assert "sent=0405" in repr(wide)


def test_mode_outlives_the_program_and_the_rate_does_not() -> None:
    with Rig(spi=[SPI]) as rig:
        run(rig, "spi = spidev.SpiDev(0, 0); spi.mode, spi.max_speed_hz = 1, 5000")
        said = run(rig, "spi = spidev.SpiDev(0, 0); say(spi.mode, spi.max_speed_hz)")
    assert said == [1, SPI.max_speed_hz]


def test_a_controller_refuses_what_it_cannot_do() -> None:
    with Rig(spi=[SpiDevice(mode_bits=CPHA | CPOL | NO_CS)]) as rig:
        said = run(
            rig,
            """
            spi = spidev.SpiDev(0, 0)
            say([errno_of(setattr, spi, name, True) for name in ("lsbfirst", "cshigh", "no_cs")])
            """,
        )
    assert said == [errno.EINVAL, errno.EINVAL, 0]


def test_a_message_has_at_most_4096_bytes() -> None:
    with Rig(Loopback(), spi=[SPI]) as rig:
        said = run(
            rig,
            """
            spi = spidev.SpiDev(0, 0)
            fd = spi.fileno()
            say(len(spi.xfer2([9] * 4096)), errno_of(os.write, fd, bytes(4097)),
                errno_of(os.read, fd, 4097), errno_of(os.write, fd, bytes(9**6)))
            try: spi.xfer2([9] * 4097)
            except OverflowError: say("the module refuses it first")
            say(spi.xfer3([9] * 5000) == (9,) * 5000)
            """,
        )
        assert said[0] == [4096, errno.EMSGSIZE, errno.EMSGSIZE, errno.EMSGSIZE]
        assert said[1:] == ["the module refuses it first", True]
        transfers = of_kind(rig.log, SpiTransfer)
    assert [len(one.sent) for one in transfers] == [4096, 4096, 904]
    assert not any(one.stays_selected for one in transfers)  # whatever the module's help says


def test_the_drivers_buffer_can_be_smaller() -> None:
    with Rig(spi=[SPI], buffer_bytes=1024) as rig:
        said = run(
            rig,
            """
            spi = spidev.SpiDev(0, 0)
            say(errno_of(spi.xfer2, [0] * 1025))
            spi.xfer3([0] * 1025)
            say(int(open("/sys/module/spidev/parameters/bufsiz").read()))
            """,
        )
        assert said == [errno.EMSGSIZE, 1024]
        assert [len(one.sent) for one in of_kind(rig.log, SpiTransfer)] == [1024, 1]


def test_transfers_of_one_message_keep_the_select_between_them() -> None:
    with Rig(Loopback(), spi=[SPI]) as rig:
        said = run(
            rig,
            """
            import ctypes, fcntl, struct
            spi = spidev.SpiDev(0, 0)
            out, back = ctypes.create_string_buffer(b"abcd", 4), ctypes.create_string_buffer(4)
            tx, rx = ctypes.addressof(out), ctypes.addressof(back)
            pack = struct.Struct("=QQIIHBBxxxx").pack
            message = (pack(tx, 0, 2, 0, 0, 0, 0) + pack(0, rx, 1, 0, 0, 0, 1)
                + pack(tx + 2, rx + 1, 2, 0, 0, 0, 1))
            libc = ctypes.CDLL(None, use_errno=True)
            say(libc.ioctl(spi.fileno(), 1 << 30 | len(message) << 16 | ord("k") << 8, message))
            say(list(back.raw))
            """,
        )
        transfers = of_kind(rig.log, SpiTransfer)
    assert said == [5, [0, ord("c"), ord("d"), 0]]
    assert [one.sent for one in transfers] == [b"ab", b"\0", b"cd"]
    assert [one.stays_selected for one in transfers] == [True, False, True]


def test_what_the_world_raises_is_the_errno() -> None:
    class Broken(EmptyWorld):
        def transfer(self, transfer: SpiTransfer) -> bytes:
            raise OSError(errno.ETIMEDOUT, "the controller gave up")

    with Rig(Broken(), spi=[SPI]) as rig:
        said = run(rig, "spi = spidev.SpiDev(0, 0); say(errno_of(spi.xfer2, [1]))")
        assert said == errno.ETIMEDOUT
        assert of_kind(rig.log, SpiTransfer)[0].received == b""


def test_a_world_that_fails_fails_the_test() -> None:
    class Short(EmptyWorld):
        def transfer(self, transfer: SpiTransfer) -> bytes:
            return b""

    said = 0
    complains = pytest.raises(ValueError, match="1 bytes went out, 0 came back")
    with complains, Rig(Short(), spi=[SPI]) as rig:
        said = run(rig, "spi = spidev.SpiDev(0, 0); say(errno_of(spi.xfer2, [1]))")
    assert said == errno.EIO


def test_a_test_that_fails_is_told_what_the_world_raised() -> None:
    class Lost(EmptyWorld):
        def transfer(self, transfer: SpiTransfer) -> bytes:
            raise KeyError("where am I")

    with pytest.raises(AssertionError) as caught, Rig(Lost(), spi=[SPI]) as rig:
        assert run(rig, "spi = spidev.SpiDev(0, 0); say(errno_of(spi.xfer2, [1]))") == 0
    assert caught.value.__notes__ == ["in the rig: KeyError('where am I')"]


# Devices and their names.


def test_devices_look_like_devices() -> None:
    with Rig(spi=[SPI, SpiDevice(bus=0, device=1)], chips=[SOC, EXPANDER]) as rig:
        names, listed, modes, numbers, is_chip, found, is_usable = run(
            rig,
            """
            from pathlib import Path
            devices = ["/dev/spidev0.1", "/dev/gpiochip3"]
            globbed = [str(path) for path in Path("/dev").glob("gpiochip*")]
            say(sorted(glob.glob("/dev/spidev*") + globbed))
            say(sorted(name for name in os.listdir("/dev") if "spidev" in name or name == "null"))
            fds = [os.open(device, os.O_RDWR) for device in devices]
            say([see(x).st_mode for x in devices for see in (os.stat, os.lstat)]
                + [os.fstat(fd).st_mode for fd in fds])
            say([os.major(os.stat(device).st_rdev) for device in devices])
            say([gpiod.is_gpiochip_device(x) for x in ("/dev/gpiochip3", devices[0], "/dev/null")])
            say([os.path.exists(x) for x in ("/dev/spidev0.1", "/dev/spidev0.2", "/dev/gpiochip1")])
            say(os.access(devices[0], os.R_OK | os.W_OK), os.access(devices[0], os.X_OK),
                os.path.realpath(devices[0]), [x.is_symlink() for x in os.scandir("/dev")
                if x.name == "spidev0.1"])
            """,
        )
    assert names == ["/dev/gpiochip0", "/dev/gpiochip3", "/dev/spidev0.0", "/dev/spidev0.1"]
    assert listed == ["null", "spidev0.0", "spidev0.1"]
    assert len(modes) == 6
    assert all(stat.S_ISCHR(mode) for mode in modes)
    assert numbers == [153, 254]
    assert is_chip == [True, False, False]
    assert found == [True, False, False]
    assert is_usable == [True, False, "/dev/spidev0.1", [False]]


def test_what_is_not_there_is_not_there() -> None:
    with Rig(spi=[SPI], chips=[SOC]) as rig:
        said = run(
            rig,
            """
            say(errno_of(spidev.SpiDev, 0, 1), errno_of(gpiod.Chip, "/dev/gpiochip1"),
                errno_of(os.stat, "/dev/spidev1.0"), errno_of(os.open, "/dev/spidev1.0", os.O_RDWR))
            """,
        )
        assert said == [errno.ENOENT] * 4
        assert rig.log == ()


def test_who_may_not_open_it_is_told() -> None:
    denied = GpioChip(number=1, label="denied", lines=["A"], is_denied=True)
    with Rig(spi=[SpiDevice(is_denied=True)], chips=[denied]) as rig:
        said = run(
            rig,
            """
            say(errno_of(spidev.SpiDev, 0, 0), errno_of(gpiod.Chip, "/dev/gpiochip1"),
                errno_of(open, "/dev/spidev0.0", "r+b"), os.access("/dev/spidev0.0", os.R_OK),
                os.path.exists("/dev/spidev0.0"))
            """,
        )
        assert said == [errno.EACCES] * 3 + [False, True]
        assert rig.log == ()


def test_a_device_can_be_locked() -> None:
    with Rig(spi=[SPI]) as rig:
        said = run(
            rig,
            """
            import fcntl
            first, second = (os.open("/dev/spidev0.0", os.O_RDWR) for _ in range(2))
            lock = lambda fd, how: errno_of(fcntl.flock, fd, how)
            without_waiting = fcntl.LOCK_NB
            say(lock(first, fcntl.LOCK_EX | without_waiting),
                lock(second, fcntl.LOCK_SH | without_waiting))
            os.close(first)
            say(lock(second, fcntl.LOCK_EX))
            """,
        )
    assert said == [[0, errno.EWOULDBLOCK], 0]


def test_a_file_is_closed_with_its_last_descriptor() -> None:
    with Rig(Loopback(), spi=[SPI]) as rig:
        said = run(
            rig,
            """
            import signal
            fd = os.dup(os.open("/dev/spidev0.0", os.O_RDWR))
            spidev.SpiDev(0, 0).close()
            if not os.fork():
                os.closerange(3, fd)
                time.sleep(0.05)
                os._exit(os.write(fd, b"child"))
            os.close(fd)
            say(os.waitstatus_to_exitcode(os.wait()[1]))
            """,
        )
        kinds = [type(one) for one in rig.log]
    assert said == 5
    assert kinds == [SpiOpened, SpiOpened, SpiClosed, SpiTransfer, SpiClosed]


def test_an_unplugged_device_fails_and_is_gone() -> None:
    class Loose(Loopback):
        def transfer(self, transfer: SpiTransfer) -> bytes:
            if transfer.sent == b"\x02":
                self.rig.unplug("spidev0.0")
            return transfer.sent

    with Rig(Loose(), spi=[SPI]) as rig:
        said = run(
            rig,
            """
            spi = spidev.SpiDev(0, 0)
            say(spi.xfer2([2]), errno_of(spi.xfer2, [3]), errno_of(spi.readbytes, 1),
                os.path.exists("/dev/spidev0.0"), errno_of(spidev.SpiDev, 0, 0))
            """,
        )
        assert said == [[2], errno.ESHUTDOWN, errno.ESHUTDOWN, False, errno.ENOENT]
        assert len(of_kind(rig.log, SpiTransfer)) == 1


# GPIO.


def test_chips_are_found_by_label_and_lines_by_name() -> None:
    with Rig(chips=[SOC, EXPANDER]) as rig:
        chips, offsets, held = run(
            rig,
            """
            chips = [gpiod.Chip(path) for path in sorted(glob.glob("/dev/gpiochip*"))]
            infos = [chip.get_info() for chip in chips]
            say([[info.name, info.label, info.num_lines] for info in infos])
            say([chips[0].line_offset_from_id("INTB"), chips[1].line_offset_from_id("P1"),
                errno_of(chips[1].line_offset_from_id, "INTB"),
                chips[0].get_line_info(5).name is None])
            info = chips[0].get_line_info("CE0")
            say([info.used, info.consumer, info.direction == Direction.INPUT])
            """,
        )
    assert chips == [["gpiochip0", "pinctrl-soc", 7], ["gpiochip3", "expander", 2]]
    assert offsets == [4, 1, errno.ENOENT, True]
    assert held == [True, "spi0 CS0", True]


def test_outputs_are_driven_from_the_start_to_the_release() -> None:
    with Rig(chips=[SOC]) as rig:
        rig.drive("RSTB", True)  # there is a resistor
        said = run(
            rig,
            """
            chip = gpiod.Chip("/dev/gpiochip0")
            request = chip.request_lines({"VDD": output(ON), "CSB": output(OFF, active_low=True),
                "RSTB": output(OFF, drive=Drive.OPEN_DRAIN)}, consumer="tester")
            chip.close()
            values = lambda: [request.get_value(name) == ON for name in ("VDD", "CSB", "RSTB")]
            say(values())
            request.set_values({"VDD": OFF, "CSB": ON, "RSTB": ON})
            say(values())
            request.reconfigure_lines({"VDD": output(ON),
                "CSB": gpiod.LineSettings(direction=Direction.INPUT, bias=Bias.PULL_UP)})
            say(values(), errno_of(request.set_value, "CSB", ON))
            request.release()
            info = gpiod.Chip("/dev/gpiochip0").get_line_info("VDD")
            say(info.used, info.direction == Direction.INPUT)
            """,
        )
        log = rig.log
    assert said[:2] == [[True, False, False], [False, True, True]]
    assert said[2:] == [[[True, True, True], errno.EPERM], [False, True]]
    outputs = [(one.name, one.level, one.floats) for one in of_kind(log, LineOutput)]
    asked = [("VDD", True, False), ("CSB", True, False), ("RSTB", False, False)]
    set_to = [("VDD", False, False), ("CSB", False, False), ("RSTB", True, True)]
    assert outputs[:6] == asked + set_to
    assert outputs[6:] == [("VDD", True, False)]
    requested = {one.name: one for one in of_kind(log, LineRequested)}
    assert {one.consumer for one in requested.values()} == {"tester"}
    assert requested["VDD"].flags == LineFlag.OUTPUT
    assert LineFlag.OPEN_DRAIN in requested["RSTB"].flags
    assert {one.name for one in of_kind(log, LineReconfigured)} == {"VDD", "CSB"}
    assert [one.name for one in of_kind(log, LineReleased)] == ["VDD", "CSB", "RSTB"]


def test_an_undriven_line_follows_its_bias_and_then_the_world() -> None:
    with Rig(chips=[SOC]) as rig:
        script = """
            chip = gpiod.Chip("/dev/gpiochip0")
            pull = lambda bias: gpiod.LineSettings(direction=Direction.INPUT, bias=bias)
            pulls = {"INTB": pull(Bias.PULL_UP), "ID_SD": pull(Bias.PULL_DOWN)}
            request = chip.request_lines(pulls)
            say([request.get_value(name) == ON for name in ("INTB", "ID_SD")])
            """
        assert run(rig, script) == [True, False]
        rig.drive("INTB", False)
        rig.drive("ID_SD", True)
        assert run(rig, script) == [False, True]


def test_both_edges_are_waited_for() -> None:
    """Nothing polls: the request is readable when an edge is there, and only then."""

    class Pulse(EmptyWorld):
        def line_set(self, chip: str, name: str, level: bool) -> None:
            if level:
                self.rig.call_later(0.3, lambda: self.rig.drive("INTB", False))
                self.rig.call_later(1.3, lambda: self.rig.drive("INTB", True))

    with Rig(Pulse(), chips=[SOC]) as rig:
        rig.drive("INTB", True)
        said = run(
            rig,
            """
            chip = gpiod.Chip("/dev/gpiochip0")
            intb = chip.request_lines({"INTB": both_edges(bias=Bias.PULL_UP)})
            vdd = chip.request_lines({"VDD": output(OFF)})
            say(intb.wait_edge_events(0.02), intb.get_value("INTB") == ON)
            vdd.set_value("VDD", ON)
            for _ in range(2):
                began = time.monotonic()
                assert intb.wait_edge_events(10)
                event, = intb.read_edge_events()
                assert abs(time.monotonic_ns() - event.timestamp_ns) < 1e9
                say(event.event_type == event.Type.RISING_EDGE, event.line_offset,
                    event.global_seqno, event.line_seqno, time.monotonic() - began > 0.03)
            poll = select.poll()
            poll.register(intb.fd, select.POLLIN)
            say(poll.poll(0))
            """,
        )
        assert said == [[False, True], [False, 4, 1, 1, True], [True, 4, 2, 2, True], []]
        assert [one.level for one in of_kind(rig.log, LineInput)] == [True, False, True]


def test_a_read_waits_for_an_edge_and_takes_several() -> None:
    with Rig(chips=[SOC]) as rig:
        script = """
            chip = gpiod.Chip("/dev/gpiochip0")
            request = chip.request_lines({"INTB": both_edges(active_low=True),
                "ID_SD": gpiod.LineSettings(edge_detection=Edge.RISING)})
            say("waiting")
            seen = []
            while len(seen) < 4:
                seen += request.read_edge_events(2)
            say([[e.line_offset, e.event_type == e.Type.RISING_EDGE, e.global_seqno, e.line_seqno]
                for e in seen])
            """
        with rig.popen(*command(script)) as program:
            assert program.stdout
            assert program.stdout.readline() == '"waiting"\n'
            for name, level in [("INTB", True), ("ID_SD", True), ("ID_SD", False)]:
                rig.drive(name, level)
            for level in (False, False, True):
                rig.drive("INTB", level)
            said = json.loads(program.communicate(timeout=30)[0])
    assert said == [[4, False, 1, 1], [0, True, 2, 1], [4, True, 3, 2], [4, False, 4, 3]]


def test_the_oldest_edges_are_lost() -> None:
    with Rig(chips=[SOC]) as rig:
        script = """
            request = gpiod.Chip("/dev/gpiochip0").request_lines({"INTB": both_edges()})
            say("waiting")
            sys.stdin.readline()
            say([event.line_seqno for event in request.read_edge_events(64)])
            """
        with rig.popen(*command(script)) as program:
            assert program.stdout
            program.stdout.readline()
            for i in range(20):
                rig.drive("INTB", i % 2 == 0)
            assert json.loads(program.communicate("go\n", timeout=30)[0]) == list(range(5, 21))


def test_a_line_is_held_by_one() -> None:
    with Rig(chips=[SOC]) as rig:
        script = """
            chip = gpiod.Chip("/dev/gpiochip0")
            request = lambda *names: chip.request_lines({names: output(OFF)})
            """
        hold = (
            script
            + """
            held = request("VDD")
            say(errno_of(request, "VDD"), errno_of(request, "CE0"), errno_of(request, "CSB", "VDD"))
            sys.stdin.readline()
            """
        )
        with rig.popen(*command(hold)) as holder:
            assert holder.stdout
            assert json.loads(holder.stdout.readline()) == [errno.EBUSY] * 3
            assert run(rig, script + 'say(errno_of(request, "VDD"))') == errno.EBUSY
            assert (rig.is_held("VDD"), rig.is_held("CSB")) == (True, False)
            holder.communicate("go\n", timeout=30)
        assert run(rig, script + 'say(errno_of(request, "VDD"))') == 0


def test_an_unplugged_chip_wakes_who_waits() -> None:
    with Rig(chips=[EXPANDER]) as rig:
        script = """
            chip = gpiod.Chip("/dev/gpiochip3")
            request = chip.request_lines({"P0": both_edges(), "P1": output(ON)})
            say("waiting")
            say(request.wait_edge_events(30), errno_of(request.read_edge_events),
                errno_of(request.set_value, "P1", OFF), errno_of(chip.get_info))
            """
        with rig.popen(*command(script)) as program:
            assert program.stdout
            program.stdout.readline()
            rig.unplug("gpiochip3")
            said = json.loads(program.communicate(timeout=30)[0])
        assert said == [True, errno.ENODEV, errno.ENODEV, errno.ENODEV]
        assert [one.name for one in of_kind(rig.log, LineReleased)] == ["P0", "P1"]


@pytest.mark.parametrize("keeps_outputs", [False, True])
def test_a_killed_program_lets_go_of_everything(keeps_outputs: bool) -> None:
    class Listening(EmptyWorld):
        def __init__(self) -> None:
            self.released: list[str] = []

        def line_released(self, chip: str, name: str) -> None:
            self.released.append(name)

    world = Listening()
    chip = GpioChip(label="soc", lines=["VDD", "INTB"], keeps_outputs=keeps_outputs)
    with Rig(world, spi=[SPI], chips=[chip]) as rig:
        script = """
            spi = spidev.SpiDev(0, 0)
            chip = gpiod.Chip("/dev/gpiochip0")
            request = chip.request_lines({"VDD": output(ON), "INTB": both_edges()})
            say("ready")
            request.wait_edge_events(None)
            """
        with rig.popen(*command(script)) as program:
            assert program.stdout
            program.stdout.readline()
            assert (rig.level("VDD"), rig.is_held("VDD")) == (True, True)
            program.send_signal(signal.SIGKILL)
            assert program.wait(30) == -signal.SIGKILL
            assert (rig.level("VDD"), rig.is_held("VDD")) == (keeps_outputs, False)
        assert len(of_kind(rig.log[-3:], SpiClosed)) == 1  # the kernel closes in no said order
    assert world.released == ["VDD", "INTB"]


def test_what_the_rig_cannot_do_fails_the_test() -> None:
    with pytest.raises(UnsupportedError, match="debounce"), Rig(chips=[SOC]) as rig:
        run(
            rig,
            """
            from datetime import timedelta
            settings = both_edges(debounce_period=timedelta(milliseconds=1))
            say(errno_of(gpiod.Chip("/dev/gpiochip0").request_lines, {"INTB": settings}))
            """,
        )


# Both together.


class Peripheral(EmptyWorld):
    """Lowers INTB after reset and raises it when it has been clocked."""

    def line_set(self, chip: str, name: str, level: bool) -> None:
        if name == "RSTB" and level:
            self.rig.call_later(0.01, lambda: self.rig.drive("INTB", False))

    def transfer(self, transfer: SpiTransfer) -> bytes:
        self.rig.drive("INTB", True)
        return bytes(byte ^ 0xFF for byte in transfer.sent)


def test_the_log_is_in_the_order_of_the_wires() -> None:
    with Rig(Peripheral(), spi=[SPI], chips=[SOC]) as rig:
        rig.drive("INTB", True)
        began = time.monotonic()
        run(
            rig,
            """
            chip = gpiod.Chip("/dev/gpiochip0")
            pins = chip.request_lines({"RSTB": output(OFF, drive=Drive.OPEN_DRAIN)})
            power = chip.request_lines({"VDD": output(OFF)})
            intb = chip.request_lines({"INTB": both_edges()})
            select = chip.request_lines({"CSB": output(OFF, active_low=True)})
            spi = spidev.SpiDev(0, 0)
            spi.no_cs = True
            power.set_value("VDD", ON)
            pins.set_value("RSTB", ON)
            assert intb.wait_edge_events(10) and len(intb.read_edge_events()) == 1
            select.set_value("CSB", ON)
            assert spi.xfer2([0xF0]) == [0x0F]
            assert intb.wait_edge_events(10) and len(intb.read_edge_events()) == 1
            select.set_value("CSB", OFF)
            pins.set_value("RSTB", OFF)
            power.set_value("VDD", OFF)
            for one in (power, pins, spi, select, intb):
                (one.close if one is spi else one.release)()
            """,
        )
        log = rig.log
    story = [
        f"{one.name}={one.level:d}"
        if isinstance(one, LineOutput | LineInput)
        else f"-{one.name}"
        if isinstance(one, LineReleased)
        else type(one).__name__
        for one in log
        if not isinstance(one, LineRequested)
    ]
    assert story[:5] == ["INTB=1", "RSTB=0", "VDD=0", "CSB=1", "SpiOpened"]
    assert story[5:9] == ["VDD=1", "RSTB=1", "INTB=0", "CSB=0"]
    assert story[9:14] == ["SpiTransfer", "INTB=1", "CSB=1", "RSTB=0", "VDD=0"]
    assert story[14:] == ["-VDD", "-RSTB", "SpiClosed", "-CSB", "-INTB"]
    assert [one.number for one in log] == list(range(len(log)))
    times = [one.time_s for one in log[1:]]
    assert times == sorted(times)
    assert began < times[0] < times[-1] < time.monotonic()


def test_what_is_closed_is_closed_before_what_follows() -> None:
    with Rig(spi=[SPI]) as rig:
        run(
            rig,
            """
            other = spidev.SpiDev(0, 0)
            for _ in range(300):
                one = spidev.SpiDev(0, 0)
                one.close()
                other.xfer2([1])
            """,
        )
        kinds = [type(one) for one in rig.log]
    assert kinds == [SpiOpened, *[SpiOpened, SpiClosed, SpiTransfer] * 300, SpiClosed]


def test_threads_share_the_board() -> None:
    with Rig(Loopback(), spi=[SPI], chips=[SOC]) as rig:
        said = run(
            rig,
            """
            from concurrent.futures import ThreadPoolExecutor
            chip = gpiod.Chip("/dev/gpiochip0")
            intb = chip.request_lines({"INTB": both_edges()})
            def waits(): return intb.wait_edge_events(0.3)
            def clocks(i):
                spi = spidev.SpiDev(0, 0)
                return all(spi.xfer2([i, n]) == [i, n] for n in range(100))
            with ThreadPoolExecutor(5) as pool:
                waiting = pool.submit(waits)
                say(list(pool.map(clocks, range(4))), waiting.result())
            """,
        )
        assert said == [[True] * 4, False]
        assert len(of_kind(rig.log, SpiTransfer)) == 400


def test_other_programs_are_left_alone(tmp_path: Path) -> None:
    with Rig(spi=[SPI]) as rig:
        said = run(
            rig,
            f"""
            import pty, socket, subprocess
            path = {str(tmp_path / "x")!r}
            open(path, "w").write("hello")
            master, slave = pty.openpty()
            say(open(path).read(), os.stat(path).st_size, os.listdir(os.path.dirname(path)),
                os.isatty(slave), os.path.realpath("/sys/dev/char/1:3/../"),
                subprocess.run(["ls", "/dev"], capture_output=True, text=True).stdout.split())
            """,
        )
    assert said[:4] == ["hello", 5, ["x"], True]
    assert "spidev0.0" in said[5]
    assert "null" in said[5]


def test_a_program_that_outlives_the_rig_gets_errors() -> None:
    with Rig(spi=[SPI]) as rig:
        script = """
            spi = spidev.SpiDev(0, 0)
            say("ready")
            sys.stdin.readline()
            say(errno_of(spi.xfer2, [1]), errno_of(os.stat, "/dev/spidev0.0"))
            """
        program = rig.popen(*command(script))
        assert program.stdout
        program.stdout.readline()
    with program:
        said = json.loads(program.communicate("go\n", timeout=30)[0])
    assert said == [errno.EIO, errno.EIO]


def test_nothing_is_left_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with Rig(spi=[SPI]) as rig:
            run(rig, "spidev.SpiDev(0, 0)")
    assert len(os.listdir("/proc/self/fd")) == before
    assert not Path(rig.env["UMI_RIG"]).exists()


def test_a_timer_fires_though_nothing_else_happens() -> None:
    with Rig(chips=[SOC]) as rig:
        rig.call_later(0.02, lambda: rig.drive("INTB", True))
        wait_until(lambda: rig.level("INTB"))


# The shim.


def test_the_reason_for_a_skip_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    build.shim.cache_clear()
    build.why_not.cache_clear()
    try:
        assert build.why_not() == "no C compiler (gcc) was found"
    finally:
        build.shim.cache_clear()
        build.why_not.cache_clear()


def test_the_shim_is_compiled_once_and_without_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-Werror"))
    build.shim.cache_clear()
    try:
        made = build.shim()
        first = made.stat().st_mtime_ns
        build.shim.cache_clear()
        assert build.shim() == made
        assert made.stat().st_mtime_ns == first
        assert re.fullmatch(r"shim-[0-9a-f]{16}\.so", made.name)
        assert list(made.parent.iterdir()) == [made]
    finally:
        build.shim.cache_clear()
