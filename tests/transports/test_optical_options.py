"""What an `opto:` address says of head and meter, and what it cannot say."""

from dataclasses import replace

import pytest

from umi_cli.errors import InputError
from umi_cli.optical.sign_on import SignOnProfile
from umi_cli.transports.address import Address
from umi_cli.transports.optical import OpticalSettings
from umi_cli.transports.optical_options import settle

EI4 = SignOnProfile(v="0", y="6", wakeup=True, switch_delay_ms=50)


def settled(address: str, profile: SignOnProfile = EI4) -> OpticalSettings:
    parsed = Address.parse(address)
    return settle(parsed.options, parsed.target, profile, lambda name: name.startswith("ELS"))


def test_without_options_the_datasheet_says_all() -> None:
    settings = settled("opto:/dev/ttyUSB0")
    assert settings.profile == EI4
    assert settings.echo == "auto"
    assert settings.accepts("ELSEISGMv0")
    assert not settings.accepts("HONEI5")


@pytest.mark.parametrize(
    ("query", "profile"),
    [
        ("v=1", replace(EI4, v="1")),
        ("y=7", replace(EI4, y="7")),
        ("wakeup=none", replace(EI4, wakeup=False)),
        ("wakeup=std", EI4),
        ("parity=hard", replace(EI4, parity="hard")),
        ("parity=soft", EI4),
        ("baud=300", replace(EI4, baud=300)),
        ("baud=offered", EI4),
        ("switch-delay=0", replace(EI4, switch_delay_ms=0)),
        ("switch-delay=400", replace(EI4, switch_delay_ms=400)),
        ("device=00 42a", replace(EI4, device_address="00 42a")),
        ("device=" + "9" * 32, replace(EI4, device_address="9" * 32)),
        ("echo=on", EI4),
    ],
)
def test_an_option_overrides_the_datasheet(query: str, profile: SignOnProfile) -> None:
    for device in ("/dev/ttyUSB0", "rfc2217://gateway:4000"):
        assert settled(f"opto:{device}?{query}").profile == profile
    assert settled(f"auto?{query}").profile == profile


@pytest.mark.parametrize("echo", ["auto", "on", "off"])
def test_what_is_known_of_the_head(echo: str) -> None:
    assert settled(f"opto:/dev/ttyUSB0?echo={echo}").echo == echo


@pytest.mark.parametrize("query", ["y=7", "v=1", "y=6"])
def test_whoever_gives_the_characters_knows_the_meter(query: str) -> None:
    assert settled(f"opto:/dev/ttyUSB0?{query}").accepts("HONEI5")


@pytest.mark.parametrize("query", ["wakeup=none", "echo=on", "baud=300"])
def test_whoever_gives_none_does_not(query: str) -> None:
    assert not settled(f"opto:/dev/ttyUSB0?{query}").accepts("HONEI5")


def test_a_bridge_stays_at_300_baud_unless_its_user_knows_better() -> None:
    assert settled("opto:socket://gateway:4000").profile.baud == 300
    assert settled("opto:socket://gateway:4000?baud=offered").profile.baud is None


def test_a_wake_up_is_what_the_datasheet_says() -> None:
    mains = replace(EI4, wakeup=False)
    assert settled("opto:/dev/ttyUSB0", mains).profile == mains
    assert settled("opto:/dev/ttyUSB0?wakeup=std", mains).profile == EI4


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ("echo=yes", "auto or on or off"),
        ("echo=", "auto or on or off"),
        ("parity=even", "soft or hard"),
        ("wakeup=40", "std or none"),
        ("baud=9600", "offered or 300"),
        ("baud=", "offered or 300"),
        ("v=", "v is 0"),
        ("v=00", "v is 0"),
        ("v=A", "v is 0"),
        ("y=a", "y is 6 to 9"),
        ("y=66", "y is 6 to 9"),
        ("y=0", "y is 6 to 9"),
        ("y=5", "y is 6 to 9"),
        ("y=٦", "y is 6 to 9"),
        ("switch-delay=401", "0 to 400"),
        ("switch-delay=-1", "0 to 400"),
        ("switch-delay=50ms", "0 to 400"),
        ("switch-delay=", "0 to 400"),
        ("switch-delay=²", "0 to 400"),
        ("device=a!", "letters, digits and spaces"),
        ("device=Zähler", "letters, digits and spaces"),
        ("device=" + "9" * 33, "letters, digits and spaces"),
    ],
)
def test_what_no_option_can_be(query: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        settled(f"opto:/dev/ttyUSB0?{query}")
    assert caught.value.exit_code == 2
    assert hint in caught.value.hint
    assert len(str(caught.value)) < 120
