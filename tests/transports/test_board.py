"""The pins of a UMI-spi port, on the genuine spidev and gpiod modules."""

import json
import subprocess
import sys

import pytest

from tests.rig import build
from tests.rig.records import (
    LineInput,
    LineOutput,
    LineReleased,
    LineRequested,
    SpiClosed,
    SpiOpened,
    SpiTransfer,
)
from tests.rig.rig import Rig
from tests.rig.spi import CPHA, CPOL, CS_HIGH, NO_CS, SpiDevice
from tests.rig.world import EmptyWorld
from tests.transports.boards import EXPANDER, KEEPING, SOC, SPI, command, outputs, run
from umi_cli.transports.base import Board
from umi_cli.transports.board import SpiBoard
from umi_cli.transports.bus import REVERSED

pytestmark = pytest.mark.skipif(bool(build.why_not()), reason=build.why_not())


class Peripheral(EmptyWorld):
    """Inverts what it gets; INTB falls after reset, and rises when bytes were clocked."""

    def line_set(self, chip: str, name: str, level: bool) -> None:
        if name == "RSTB" and level:
            self.rig.call_later(0.02, lambda: self.rig.drive("INTB", False))

    def transfer(self, transfer: SpiTransfer) -> bytes:
        if transfer.sent:
            self.rig.drive("INTB", True)
        return bytes(byte ^ 0xFF for byte in transfer.sent)


def as_board(port: SpiBoard) -> Board:
    """Have the type checker see that it is one."""
    return port


def transfers(rig: Rig) -> list[SpiTransfer]:
    return [one for one in rig.log if isinstance(one, SpiTransfer)]


def story_of(rig: Rig) -> list[str]:
    """Return what happened on the wires; empty transfers are `pulse`."""
    told = []
    for one in rig.log:
        if isinstance(one, LineOutput | LineReleased):
            told += outputs([one])
        elif isinstance(one, LineInput):
            told.append(f"{one.name}={one.level:d}")
        elif isinstance(one, SpiTransfer):
            told.append(one.sent.hex() or "pulse")
        elif not isinstance(one, LineRequested):
            told.append(type(one).__name__)
    return told


def test_a_port_is_powered_spoken_to_and_switched_off_in_order() -> None:
    with Rig(Peripheral(), spi=[SPI], chips=[SOC]) as rig:
        rig.drive("INTB", True)
        said = run(
            rig,
            """
            with board(**HIGH_POWER, cs="CSB") as port:
                say(port.address, port.switches_power, port.int_is_low())
                deadline = port.clock.monotonic() + 10
                port.power(True)
                port.reset(False)
                say(port.wait_for_int(True, deadline), port.int_is_low())
                port.select(True)
                say(port.exchange(bytes([0xF0, 0x01])).hex())
                say(port.wait_for_int(False, deadline))
                port.select(False)
                port.reset(True)
                port.power(False)
                port.power(True)
            port.close()
            """,
        )
        story = story_of(rig)
        held = [rig.is_held(name) for name in ("VDD", "HVDD", "RSTB", "CSB", "INTB")]
    assert said == [["spi:0.0", True, False], [True, True], "0ffe", True]
    assert story[:2] == ["INTB=1", "SpiOpened"]
    assert story[2:6] == ["RSTB=0", "VDD=0", "HVDD=0", "CSB=1"]  # nothing on, reset first
    assert story[6:9] == ["VDD=1", "HVDD=1", "RSTB=1"]
    assert story[9:14] == ["INTB=0", "CSB=0", "f001", "INTB=1", "CSB=1"]
    assert story[14:17] == ["RSTB=0", "HVDD=0", "VDD=0"]
    assert story[17:19] == ["VDD=1", "HVDD=1"]
    assert story[19:23] == ["RSTB=0", "CSB=1", "HVDD=0", "VDD=0"]
    assert story[23:] == ["-INTB", "-CSB", "-HVDD", "-VDD", "-RSTB", "SpiClosed"]
    assert held == [False] * 5


def test_a_low_power_port_has_no_hvdd() -> None:
    with Rig(spi=[SPI], chips=[SOC]) as rig:
        run(
            rig,
            """
            port = board(**LOW_POWER)
            port.power(True)
            port.close()
            """,
        )
        assert outputs(rig.log)[:5] == ["RSTB=0", "VDD=0", "VDD=1", "RSTB=0", "VDD=0"]


def test_a_self_powered_port_is_not_switched_and_needs_no_guardian() -> None:
    with Rig(spi=[SPI], chips=[SOC]) as rig:
        said = run(
            rig,
            """
            with board() as port:
                port.power(True)
                port.reset(False)
                port.power(False)
                try: os.waitpid(-1, os.WNOHANG); alone = False
                except ChildProcessError: alone = True
                say(port.switches_power, alone)
            """,
        )
        assert outputs(rig.log) == ["-INTB"]
    assert said == [False, True]


def test_lines_may_be_on_different_chips() -> None:
    with Rig(spi=[SPI], chips=[SOC, EXPANDER]) as rig:
        run(
            rig,
            """
            with board(rst="INT34C6:00:3", vdd="VDD_2", hvdd="pinctrl-soc:2") as port:
                port.power(True)
                port.reset(False)
            """,
        )
        drives = [one for one in outputs(rig.log) if "=" in one]
    opened, used = ["3=0", "VDD_2=0", "HVDD=0"], ["VDD_2=1", "HVDD=1", "3=1"]
    assert drives == opened + used + ["3=0", "HVDD=0", "VDD_2=0"]


def test_a_port_that_was_left_powered_is_reset_before_it_is_off() -> None:
    with Rig(spi=[SPI], chips=[KEEPING]) as rig:
        run(
            rig,
            """
            output("RSTB", high=True, open_drain=True)
            output("VDD", high=True)
            """,
        )
        assert rig.level("VDD")
        before = len(rig.log)
        run(rig, "board(**LOW_POWER).close()")
        assert outputs(rig.log[before:])[:2] == ["RSTB=0", "VDD=0"]


@pytest.mark.parametrize("line", ["vdd", "cs", "int"])
def test_what_does_not_open_whole_is_let_go_of(line: str) -> None:
    """The line that somebody else holds is the second, the third or the last to be requested."""
    with Rig(spi=[SPI], chips=[SOC]) as rig:
        said = run(
            rig,
            f"""
            options = dict(rst="RSTB", vdd="VDD", cs="CSB") | dict({line}="CE0")
            say(refusal(board, **options))
            """,
        )
        assert said[0] == "port-busy"
        assert "held by spi0 CS0" in said[1]
        assert not any(rig.is_held(name) for name in ("RSTB", "VDD", "CSB", "INTB"))
        assert not any(one.endswith("=1") for one in outputs(rig.log) if one != "CSB=1")
        kinds = [type(one) for one in rig.log]
    assert (kinds[0], kinds[-1]) == (SpiOpened, SpiClosed)


def test_a_port_that_is_open_is_busy() -> None:
    with Rig(spi=[SPI], chips=[SOC]) as rig:
        said = run(rig, "port = board(**LOW_POWER); say(refusal(board, **LOW_POWER))")
    assert said[:2] == [
        "port-busy",
        "spi:0.0: the GPIO line RSTB (pinctrl-soc:3) is held by umi",
    ]


# INTB.


def test_intb_is_waited_for_by_its_edges() -> None:
    """The program sleeps meanwhile: it takes no time of the processor."""

    class Slow(EmptyWorld):
        def line_set(self, chip: str, name: str, level: bool) -> None:
            if level:
                self.rig.call_later(0.3, lambda: self.rig.drive("INTB", False))

    with Rig(Slow(), spi=[SPI], chips=[SOC]) as rig:
        took_s, used_s = run(
            rig,
            """
            port = board(**LOW_POWER)
            began, used = time.monotonic(), time.process_time()
            port.power(True)
            assert port.wait_for_int(True, began + 10)
            say(time.monotonic() - began, time.process_time() - used)
            """,
        )
    assert 0.2 < took_s < 5
    assert used_s < 0.1


def test_a_wait_ends_at_the_deadline_and_may_have_none() -> None:
    with Rig(spi=[SPI], chips=[SOC]) as rig:
        said = run(
            rig,
            """
            port = board()
            began = time.monotonic()
            say(port.wait_for_int(True, began + 0.1), time.monotonic() - began > 0.09)
            say(port.wait_for_int(True, began), port.wait_for_int(False, began))
            say(port.wait_for_int(False, float("inf")))
            """,
        )
        assert said == [[False, True], [False, True], True]
        rig.call_later(0.1, lambda: rig.drive("INTB", False))
        assert run(rig, 'say(board().wait_for_int(True, float("inf")))') is True


def test_a_change_of_intb_wakes_a_selector() -> None:
    with Rig(spi=[SPI], chips=[SOC]) as rig:
        script = """
            import selectors
            port = board()
            selector = selectors.DefaultSelector()
            selector.register(port, selectors.EVENT_READ)
            say(len(selector.select(0)))
            say(len(selector.select(30)), port.int_is_low(), len(selector.select(0)))
            """
        with rig.popen(*command(script)) as program:
            assert program.stdout
            assert program.stdout.readline() == "0\n"
            rig.drive("INTB", False)
            out, err = program.communicate(timeout=60)
    assert not err
    assert json.loads(out) == [1, True, 0]


# The bus.


def test_the_bus_is_clocked_as_the_address_says() -> None:
    with Rig(spi=[SPI], chips=[SOC]) as rig:
        run(
            rig,
            """
            board().exchange(b"a")
            board(mode="3", hz="500000").exchange(b"b")
            """,
        )
        plain, tuned = transfers(rig)
    assert (plain.mode, plain.hz, plain.bits_per_word, plain.lsb_first) == (0, 10**6, 8, False)
    assert (tuned.mode, tuned.hz, tuned.bits_per_word) == (3, 500_000, 8)


def test_what_another_program_left_behind_is_undone() -> None:
    with Rig(spi=[SPI], chips=[SOC]) as rig:
        run(
            rig,
            """
            import spidev
            spi = spidev.SpiDev(0, 0)
            spi.mode, spi.bits_per_word = 3, 16
            spi.lsbfirst = spi.cshigh = spi.no_cs = True
            spi.close()
            board().exchange(b"a")
            """,
        )
        (one,) = transfers(rig)
    assert (one.mode, one.lsb_first, one.select_is_high, one.bits_per_word) == (0, False, False, 8)
    assert one.hardware_select


def test_the_controllers_own_select_wakes_by_a_pulse_and_frames_each_exchange() -> None:
    with Rig(Peripheral(), spi=[SPI], chips=[SOC]) as rig:
        said = run(
            rig,
            """
            port = board(rst="RSTB")
            port.select(True)
            say(port.exchange(b"").hex(), port.exchange(b"ab").hex())
            port.select(False)
            """,
        )
        pulse, data = transfers(rig)
    assert said == ["", "9e9d"]
    assert (pulse.sent, pulse.hardware_select, pulse.stays_selected) == (b"", True, False)
    assert (data.sent, data.hardware_select, data.stays_selected) == (b"ab", True, False)


@pytest.mark.parametrize("can_be_silent", [True, False])
def test_with_a_select_of_ours_the_controllers_is_silent_if_it_can_be(can_be_silent: bool) -> None:
    bits = CPHA | CPOL | (NO_CS if can_be_silent else 0)
    with Rig(spi=[SpiDevice(mode_bits=bits)], chips=[SOC]) as rig:
        run(
            rig,
            """
            port = board(cs="CSB")
            port.select(True)
            port.exchange(b"ab")
            port.select(False)
            """,
        )
        (one,) = transfers(rig)
        story = story_of(rig)
    assert one.hardware_select != can_be_silent
    assert story[1:5] == ["CSB=1", "CSB=0", "6162", "CSB=1"]


@pytest.mark.parametrize("does_the_controller", [True, False])
def test_the_least_significant_bit_goes_first(does_the_controller: bool) -> None:
    class Counts(EmptyWorld):
        def transfer(self, transfer: SpiTransfer) -> bytes:
            return b"\x01\x02"

    bits = CPHA | CPOL | CS_HIGH | NO_CS
    device = SPI if does_the_controller else SpiDevice(mode_bits=bits)
    with Rig(Counts(), spi=[device], chips=[SOC]) as rig:
        said = run(rig, r'say(board(order="lsb").exchange(b"\x80\x0f").hex())')
        (one,) = transfers(rig)
    assert one.lsb_first == does_the_controller
    assert one.sent == (b"\x80\x0f" if does_the_controller else b"\x01\xf0")
    assert said == ("0102" if does_the_controller else "8040")


def test_bits_are_reversed_by_a_table_that_is_its_own_inverse() -> None:
    assert REVERSED[0b0000_0001] == 0b1000_0000
    assert REVERSED[0b1101_0000] == 0b0000_1011
    assert bytes(range(256)).translate(REVERSED).translate(REVERSED) == bytes(range(256))


@pytest.mark.parametrize(
    ("buffer_bytes", "pieces"),
    [(4096, [4096, 904]), (65_536, [4096, 904]), (1000, [896] * 5 + [520])],
)
def test_what_is_long_goes_in_pieces_that_the_driver_takes(
    buffer_bytes: int, pieces: list[int]
) -> None:
    with Rig(Peripheral(), spi=[SPI], chips=[SOC], buffer_bytes=buffer_bytes) as rig:
        assert run(
            rig,
            """
            data = bytes(i % 251 for i in range(5000))
            port = board(cs="CSB")
            port.select(True)
            say(port.exchange(data) == bytes(byte ^ 0xFF for byte in data))
            """,
        )
        assert [len(one.sent) for one in transfers(rig)] == pieces
        assert outputs(rig.log)[:2] == ["CSB=1", "CSB=0"]


def test_an_unplugged_bus_is_lost_and_the_power_goes_off() -> None:
    with Rig(spi=[SPI], chips=[SOC]) as rig:
        script = """
            with board(**LOW_POWER) as port:
                port.power(True)
                say("ready")
                sys.stdin.readline()
                say(refusal(port.exchange, b"a"), refusal(port.select, True))
            """
        with rig.popen(*command(script)) as program:
            assert program.stdout
            program.stdout.readline()
            rig.unplug("spidev0.0")
            out, err = program.communicate("go\n", timeout=30)
        assert not err
        assert outputs(rig.log)[-5:-3] == ["RSTB=0", "VDD=0"]
    for code, message, _ in json.loads(out):
        assert code == "lost"
        assert message.startswith("spi:0.0 is gone: the SPI bus fails (")


def test_unplugged_pins_are_lost_and_the_rest_is_closed() -> None:
    with Rig(spi=[SPI], chips=[SOC, EXPANDER]) as rig:
        script = """
            port = board(rst="RSTB", vdd="P0", hvdd="HVDD")
            port.power(True)
            say("ready")
            sys.stdin.readline()
            say(refusal(port.power, True))
            port.close()
            port.close()
            """
        with rig.popen(*command(script)) as program:
            assert program.stdout
            program.stdout.readline()
            rig.unplug("gpiochip3")
            out, err = program.communicate("go\n", timeout=30)
        assert not err
        assert not any(rig.is_held(name) for name in ("RSTB", "HVDD", "INTB"))
        assert (rig.level("HVDD"), isinstance(rig.log[-1], SpiClosed)) == (False, True)
    code, message, _ = json.loads(out)
    assert code == "lost"
    assert message == "spi:0.0 is gone: the GPIO line P0 (INT34C6:00:0) fails (No such device)"


def test_a_closed_port_is_lost() -> None:
    with Rig(spi=[SPI], chips=[SOC]) as rig:
        said = run(
            rig,
            """
            for options in (dict(cs="CSB"), {}):
                port = board(**LOW_POWER, **options)
                port.close()
                port.close()
                acts = [(port.power, True), (port.reset, False), (port.select, True),
                    (port.exchange, b"a"), (port.int_is_low,), (port.fileno,)]
                say([refusal(*act)[0] for act in acts])
            """,
        )
        assert not any(one.endswith("=1") for one in outputs(rig.log) if one != "CSB=1")
    assert said == [["lost"] * 6] * 2


# Opening.


def test_a_bus_that_is_missing_is_told_how_to_switch_it_on() -> None:
    with Rig(chips=[SOC]) as rig:
        code, message, hint = run(rig, "say(refusal(board, **LOW_POWER))")
        assert rig.log == ()
    assert code == "no-such-port"
    assert message == "spi:0.0: /dev/spidev0.0 cannot be opened (No such file or directory)"
    assert "dtparam=spi=on" in hint
    assert "umi ports" in hint


def test_who_may_not_open_the_bus_is_told_the_group() -> None:
    with Rig(spi=[SpiDevice(is_denied=True)], chips=[SOC]) as rig:
        code, message, hint = run(rig, "say(refusal(board, **LOW_POWER))")
        assert rig.log == ()
    assert (code, message) == ("no-permission", "spi:0.0: this user may not open /dev/spidev0.0")
    assert "-aG spi" in hint


def test_a_bus_that_is_busy_is_told() -> None:
    with Rig(spi=[SPI], chips=[SOC]) as rig:
        said = run(
            rig,
            """
            from umi_cli.transports import bus
            error = bus._open_error("/dev/spidev0.0", ADDRESS, OSError(errno.EBUSY, "x"))
            say(error.code, str(error))
            """,
        )
    assert said == ["port-busy", "spi:0.0: another program holds /dev/spidev0.0"]


def test_a_mode_that_the_controller_cannot_do_is_told() -> None:
    with Rig(spi=[SpiDevice(mode_bits=CPOL)], chips=[SOC]) as rig:
        code, message, hint = run(rig, 'say(refusal(board, mode="1"))')
        assert [type(one) for one in rig.log] == [SpiOpened, SpiClosed]
    assert code == "no-such-port"
    assert message.startswith("spi:0.0: the controller of /dev/spidev0.0 refuses mode 1 (")
    assert hint == "choose another with mode="


@pytest.mark.parametrize(
    ("module", "extra"), [("spidev", "umi-cli[spi]"), ("gpiod", "umi-cli[gpio]")]
)
def test_a_missing_module_is_told_how_to_install(module: str, extra: str) -> None:
    with Rig(spi=[SPI], chips=[SOC]) as rig:
        code, message, hint = run(rig, f"sys.modules[{module!r}] = None; say(refusal(board))")
        assert rig.log == ()
    assert code == "no-such-port"
    assert f"need the Python module {module}" in message.replace("needs", "need")
    assert hint == f"install it with: pip install '{extra}'"


def test_what_is_open_is_not_handed_to_other_programs() -> None:
    with Rig(spi=[SPI], chips=[SOC]) as rig:
        said = run(
            rig,
            """
            import subprocess
            listing = "import os; print(sorted(os.listdir('/proc/self/fd')))"
            show = lambda: subprocess.run(
                [sys.executable, "-c", listing], close_fds=False, capture_output=True).stdout
            before = show()
            port = board(**LOW_POWER, cs="CSB")
            say(show() == before)
            """,
        )
    assert said is True


def test_the_modules_are_imported_when_a_port_is_opened() -> None:
    script = (
        "import sys, umi_cli.transports.board;"
        " print(sorted({'gpiod', 'spidev', 'difflib', 'fcntl'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
