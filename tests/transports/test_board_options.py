"""What an `spi:` address says of a port."""

import pytest

from umi_cli.errors import InputError
from umi_cli.transports.board_options import OPTIONS, BoardSettings


def settings(query: str) -> BoardSettings:
    return BoardSettings.from_options(dict(item.split("=", 1) for item in query.split()))


def test_a_port_is_self_powered_msb_first_in_mode_0_at_1_mhz_if_nothing_is_said() -> None:
    assert settings("int=INTB") == BoardSettings(
        interrupt="INTB",
        reset=None,
        vdd=None,
        hvdd=None,
        select=None,
        hz=1_000_000,
        mode=0,
        lsb_first=False,
    )
    assert settings("int=INTB").power == "self"
    assert settings("int=INTB").lines == {"int": "INTB"}


def test_every_option_is_heeded() -> None:
    query = "int=I rst=R vdd=V hvdd=H cs=soc:4 hz=500000 mode=3 order=lsb power=high"
    assert {item.split("=")[0] for item in query.split()} == set(OPTIONS)
    assert settings(query) == BoardSettings(
        interrupt="I",
        reset="R",
        vdd="V",
        hvdd="H",
        select="soc:4",
        hz=500_000,
        mode=3,
        lsb_first=True,
    )
    assert list(settings(query).lines) == ["rst", "vdd", "hvdd", "cs", "int"]


@pytest.mark.parametrize(
    ("query", "power"),
    [
        ("rst=R", "self"),
        ("power=self", "self"),
        ("vdd=V", "low"),
        ("vdd=V power=low", "low"),
        ("vdd=V hvdd=H", "high"),
    ],
)
def test_the_lines_say_what_is_switched(query: str, power: str) -> None:
    assert settings(f"int=I {query}").power == power


@pytest.mark.parametrize(
    ("query", "message", "hint"),
    [
        ("rst=R", "INTB is not named", "int=LINE"),
        ("int=", "int= names no line", "CHIP-LABEL:OFFSET"),
        ("int=I rst=", "rst= names no line", "CHIP-LABEL:OFFSET"),
        ("int=I hvdd=H", "switches both", "vdd=LINE"),
        ("int=I vdd=I", "vdd= and int= are the same line, I", "of its own"),
        ("int=I power=low", "contradicts the lines of the port, which make it self", "vdd=LINE"),
        ("int=I power=high vdd=V", "which make it low", "hvdd=LINE"),
        ("int=I power=self vdd=V", "which make it low", "neither"),
        ("int=I power=low vdd=V hvdd=H", "which make it high", "low has vdd=LINE"),
        ("int=I power=solar", "power=solar is not known", "low or high or self"),
        ("int=I order=middle", "order=middle is not known", "msb or lsb"),
        ("int=I mode=4", "mode=4 is no SPI mode", "0, 1, 2 or 3"),
        ("int=I mode=x", "mode=x is no number", "digits"),
        ("int=I hz=0", "hz=0 is no rate", "1 to 100000000"),
        ("int=I hz=100000001", "is no rate", "1 to 100000000"),
        ("int=I hz=1e6", "hz=1e6 is no number", "digits"),
        ("int=I hz=1234567890", "is no number that it can be", "digits"),
        ("int=I hz=²", "is no number", "digits"),
    ],
)
def test_what_contradicts_itself_is_refused(query: str, message: str, hint: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        settings(query)
    assert hint in caught.value.hint
