"""GPIO lines by name, on the genuine gpiod module."""

import pytest

from tests.rig import build
from tests.rig.gpio import GpioChip
from tests.rig.records import LineFlag, LineRequested
from tests.rig.rig import Rig
from tests.transports.boards import EXPANDER, SOC, command, outputs, run

pytestmark = pytest.mark.skipif(bool(build.why_not()), reason=build.why_not())


def test_a_line_is_found_by_name_on_any_chip_or_by_label_and_offset() -> None:
    with Rig(chips=[SOC, EXPANDER]) as rig:
        said = run(
            rig,
            """
            places = find("INTB", "P1", "pinctrl-soc:6", "INT34C6:00:3")
            say([[place.device, place.label, place.offset] for place in places])
            say([str(place) for place in places])
            """,
        )
        assert rig.log == ()
    soc, expander = "/dev/gpiochip0", "/dev/gpiochip3"
    assert said == [
        [
            [soc, "pinctrl-soc", 5],
            [expander, "INT34C6:00", 1],
            [soc, "pinctrl-soc", 6],
            [expander, "INT34C6:00", 3],
        ],
        ["INTB (pinctrl-soc:5)", "P1 (INT34C6:00:1)", "pinctrl-soc:6", "INT34C6:00:3"],
    ]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("intb2", "there is no GPIO line 'intb2'; near are INTB_2, INTB"),
        (
            "zzzzzz",
            "there is no GPIO line 'zzzzzz'; the chips are pinctrl-soc with 9 lines,"
            " INT34C6:00 with 4 lines",
        ),
        ("pinctrl-soc:9", "there is no GPIO line 'pinctrl-soc:9'; the chips are"),
        ("gpiochip0:1", "there is no GPIO line 'gpiochip0:1'; the chips are"),
    ],
)
def test_a_line_that_is_missing_is_told_with_those_that_are_near(wanted: str, message: str) -> None:
    with Rig(chips=[SOC, EXPANDER]) as rig:
        said = run(rig, f"say(refusal(find, {wanted!r}))")
    code, told, hint = said
    assert code == "no-such-port"
    assert told.startswith(f"spi:0.0: {message}")
    assert "CHIP-LABEL:OFFSET" in hint


def test_a_line_that_is_there_twice_is_not_guessed() -> None:
    other = GpioChip(number=1, label="other", lines=["A", "INTB"])
    with Rig(chips=[SOC, other]) as rig:
        code, message, hint = run(rig, 'say(refusal(find, "INTB"))')
        assert run(rig, 'say(find("other:1")[0].offset)') == 1
    assert code == "no-such-port"
    assert message == (
        "spi:0.0: 2 GPIO lines are called 'INTB':"
        " /dev/gpiochip0 pinctrl-soc:5, /dev/gpiochip1 other:1"
    )
    assert hint.endswith("CHIP-LABEL:OFFSET")


def test_a_chips_former_number_is_no_second_chip() -> None:
    """Raspberry Pi OS has a link, gpiochip4, to what is gpiochip0 now."""
    with Rig(chips=[SOC]) as rig:
        said = run(
            rig,
            """
            import tempfile
            from pathlib import Path
            from umi_cli.transports import gpio
            with tempfile.TemporaryDirectory() as folder:
                Path(folder, "gpiochip4").symlink_to("/dev/gpiochip0")
                class Devices:
                    def glob(self, pattern):
                        return [*Path("/dev").glob(pattern), *Path(folder).glob(pattern)]
                gpio.DEVICES = Devices()
                say(find("INTB")[0].device)
            """,
        )
    assert said == "/dev/gpiochip0"


def test_a_host_without_chips_says_so() -> None:
    with Rig() as rig:
        said = run(rig, 'say(refusal(find, "INTB"))')
    assert said[:2] == [
        "no-such-port",
        "spi:0.0: there is no GPIO line 'INTB'; this host has no GPIO chip",
    ]


def test_who_may_not_open_the_chip_is_told_the_group() -> None:
    denied = GpioChip(number=1, label="denied", lines=["A"], is_denied=True)
    with Rig(chips=[SOC, denied]) as rig:
        found, refused = run(rig, 'say(find("INTB")[0].offset); say(refusal(find, "INTB", "A"))')
    assert found == 5
    assert refused[:2] == ["no-permission", "spi:0.0: this user may not open /dev/gpiochip1"]
    assert "-aG gpio" in refused[2]


def test_a_line_that_is_held_is_told_with_its_holder() -> None:
    with Rig(chips=[SOC]) as rig:
        kernel, program = run(
            rig,
            """
            say(refusal(output, "CE0", high=False))
            held = output("VDD", high=False)
            say(refusal(output, "VDD", high=True))
            """,
        )
        assert not rig.level("VDD")
    assert kernel[:2] == [
        "port-busy",
        "spi:0.0: the GPIO line CE0 (pinctrl-soc:7) is held by spi0 CS0",
    ]
    assert program[:2] == [
        "port-busy",
        "spi:0.0: the GPIO line VDD (pinctrl-soc:1) is held by umi",
    ]


def test_other_refusals_say_the_reason() -> None:
    with Rig(chips=[EXPANDER]) as rig:
        said = run(
            rig,
            """
            from umi_cli.transports import gpio
            place = find("P0")[0]
            for number in (errno.ENXIO, errno.EACCES):
                error = OSError(number, "x")
                say(refusal(lambda: (_ for _ in ()).throw(
                    gpio._request_error(place, ADDRESS, error, "why"))))
            """,
        )
    assert said[0] == [
        "no-such-port",
        "spi:0.0: the GPIO line P0 (INT34C6:00:0) cannot be used (No such device or address)",
        "why",
    ]
    assert said[1][:2] == ["no-permission", "spi:0.0: this user may not use /dev/gpiochip3"]


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ('sys.modules["gpiod"] = None', "GPIO lines need the Python module gpiod (import of"),
        (
            'import types; sys.modules["gpiod"] = types.ModuleType("gpiod")',
            "the Python module gpiod is older than version 2",
        ),
    ],
)
def test_a_module_that_is_missing_or_too_old_is_told_how_to_install(
    block: str, message: str
) -> None:
    with Rig(chips=[SOC]) as rig:
        code, told, hint = run(rig, f'{block}\nsay(refusal(find, "INTB"))')
    assert code == "no-such-port"
    assert told.startswith(f"spi:0.0: {message}")
    assert hint == "install it with: pip install 'umi-cli[gpio]'"


def test_lines_are_requested_as_they_are_used() -> None:
    with Rig(chips=[SOC]) as rig:
        run(
            rig,
            """
            reset = output("RSTB", high=False, open_drain=True)
            select = output("CSB", high=True)
            intb = watch("INTB")
            reset.drive(True)
            select.drive(False)
            reset.release(); reset.release(); intb.release(); intb.release()
            for line in (reset, intb):
                act = line.drive if line is reset else lambda _: line.is_low()
                assert refusal(act, True)[0] == "lost"
            """,
        )
        requested = [one for one in rig.log if isinstance(one, LineRequested)]
        assert outputs(rig.log)[:4] == ["RSTB=0", "CSB=1", "RSTB=1", "CSB=0"]
    assert [one.flags for one in requested] == [
        LineFlag.OUTPUT | LineFlag.OPEN_DRAIN,
        LineFlag.OUTPUT,
        LineFlag.INPUT | LineFlag.EDGE_RISING | LineFlag.EDGE_FALLING | LineFlag.BIAS_PULL_UP,
    ]
    assert {one.consumer for one in requested} == {"umi"}


def test_a_level_is_that_of_now_and_old_edges_are_forgotten() -> None:
    with Rig(chips=[SOC]) as rig:
        script = """
            from select import select
            intb = watch("INTB")
            readable = lambda: bool(select([intb], [], [], 0)[0])
            say(intb.is_low(), readable())
            sys.stdin.readline()
            say(readable(), intb.is_low(), readable())
            """
        with rig.popen(*command(script)) as program:
            assert program.stdout
            assert program.stdout.readline() == "[false, false]\n"
            for i in range(101):  # more than are queued
                rig.drive("INTB", i % 2 == 1)
            out, _ = program.communicate("go\n", timeout=30)
    assert out == "[true, true, false]\n"


def test_an_unplugged_chip_is_lost() -> None:
    with Rig(chips=[EXPANDER]) as rig:
        script = """
            p0, p1 = output("P0", high=False), watch("P1")
            say("waiting")
            p1.wait(30)
            say([refusal(p0.drive, True), refusal(p1.is_low)])
            """
        with rig.popen(*command(script)) as program:
            assert program.stdout
            program.stdout.readline()
            rig.unplug("gpiochip3")
            out, _ = program.communicate(timeout=30)
    assert out.count('"lost"') == 2
    assert "spi:0.0 is gone: the GPIO line P1 (INT34C6:00:1) fails (No such device)" in out
