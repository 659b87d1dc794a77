"""Every form of an address, and every form that is none (cli.md, Addresses)."""

import pytest

from umi_cli.errors import InputError
from umi_cli.transports.address import Address, parse_host_and_port


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sim", Address(text="sim", kind="sim")),
        ("sim:", Address(text="sim:", kind="sim")),
        ("sim/2", Address(text="sim/2", kind="sim", port=2)),
        ("sim:/15", Address(text="sim:/15", kind="sim", port=15)),
        (
            "sim:/tmp/a/2",
            Address(text="sim:/tmp/a/2", kind="sim", target="/tmp/a/2"),  # noqa: S108 - not opened
        ),
        ("sim:a.json", Address(text="sim:a.json", kind="sim", target="a.json")),
        (
            "sim:a.json?as=service&seed=7",
            Address(
                text="sim:a.json?as=service&seed=7",
                kind="sim",
                target="a.json",
                options={"as": "service", "seed": "7"},
            ),
        ),
        (
            "sim:?fault=drop:0.1,flip:0.2&time=2026-11-22T10:00:00Z",
            Address(
                text="sim:?fault=drop:0.1,flip:0.2&time=2026-11-22T10:00:00Z",
                kind="sim",
                options={"fault": "drop:0.1,flip:0.2", "time": "2026-11-22T10:00:00Z"},
            ),
        ),
        ("sim:?seed=", Address(text="sim:?seed=", kind="sim", options={"seed": ""})),
        (
            "tcp:192.0.2.7:4059",
            Address(text="tcp:192.0.2.7:4059", kind="tcp", target="192.0.2.7", number=4059),
        ),
        (
            "tcp:head-end.example:1/3",
            Address(
                text="tcp:head-end.example:1/3",
                kind="tcp",
                target="head-end.example",
                number=1,
                port=3,
            ),
        ),
        (
            "tcp:[2001:db8::1]:65535/0",
            Address(
                text="tcp:[2001:db8::1]:65535/0",
                kind="tcp",
                target="2001:db8::1",
                number=65_535,
                port=0,
            ),
        ),
        (
            "tcp-listen:4059",
            Address(text="tcp-listen:4059", kind="tcp-listen", target="127.0.0.1", number=4059),
        ),
        (
            "tcp-listen:0.0.0.0:0/2?wait=1.5",
            Address(
                text="tcp-listen:0.0.0.0:0/2?wait=1.5",
                kind="tcp-listen",
                target="0.0.0.0",  # noqa: S104 - not opened
                port=2,
                options={"wait": "1.5"},
            ),
        ),
        (
            "tcp-listen:[::]:4059",
            Address(text="tcp-listen:[::]:4059", kind="tcp-listen", target="::", number=4059),
        ),
        (
            "serial:/dev/ttyUSB0@300",
            Address(
                text="serial:/dev/ttyUSB0@300", kind="serial", target="/dev/ttyUSB0", number=300
            ),
        ),
        (
            "serial:/dev/ttyUSB0",
            Address(text="serial:/dev/ttyUSB0", kind="serial", target="/dev/ttyUSB0", number=9600),
        ),
        (
            "serial:/dev/serial/by-id/usb-x@y@19200/7",
            Address(
                text="serial:/dev/serial/by-id/usb-x@y@19200/7",
                kind="serial",
                target="/dev/serial/by-id/usb-x@y",
                number=19_200,
                port=7,
            ),
        ),
        ("serial:COM3", Address(text="serial:COM3", kind="serial", target="COM3", number=9600)),
        (
            "serial:rfc2217://gateway:4000?ign_set_control&timeout=3@2400",
            Address(
                text="serial:rfc2217://gateway:4000?ign_set_control&timeout=3@2400",
                kind="serial",
                target="rfc2217://gateway:4000?ign_set_control&timeout=3",
                number=2400,
            ),
        ),
        (
            "opto:/dev/ttyUSB0?v=0&y=6&wakeup=std&echo=auto&parity=soft",
            Address(
                text="opto:/dev/ttyUSB0?v=0&y=6&wakeup=std&echo=auto&parity=soft",
                kind="opto",
                target="/dev/ttyUSB0",
                options={"v": "0", "y": "6", "wakeup": "std", "echo": "auto", "parity": "soft"},
            ),
        ),
        (
            "opto:/dev/ttyUSB0/2",
            Address(text="opto:/dev/ttyUSB0/2", kind="opto", target="/dev/ttyUSB0", port=2),
        ),
        (
            "opto:/dev/pts/3",
            Address(text="opto:/dev/pts/3", kind="opto", target="/dev/pts/3"),
        ),
        ("opto:COM3", Address(text="opto:COM3", kind="opto", target="COM3")),
        (
            "opto:rfc2217://gateway:4000?ign_set_control&y=7&timeout=3",
            Address(
                text="opto:rfc2217://gateway:4000?ign_set_control&y=7&timeout=3",
                kind="opto",
                target="rfc2217://gateway:4000?ign_set_control&timeout=3",
                options={"y": "7"},
            ),
        ),
        (
            "opto:sim:a.json?opto=echo&y=7",
            Address(
                text="opto:sim:a.json?opto=echo&y=7",
                kind="opto",
                target="sim:a.json?opto=echo",
                options={"y": "7"},
            ),
        ),
        (
            "spi:0.0/2?int=GPIO25&rst=GPIO24",
            Address(
                text="spi:0.0/2?int=GPIO25&rst=GPIO24",
                kind="spi",
                target="0.0",
                port=2,
                options={"int": "GPIO25", "rst": "GPIO24"},
            ),
        ),
        (
            "spi:sim:a.json?seed=3&host=h.json",
            Address(
                text="spi:sim:a.json?seed=3&host=h.json",
                kind="spi",
                target="sim:a.json?seed=3",
                options={"host": "h.json"},
            ),
        ),
        ("auto", Address(text="auto", kind="auto")),
        ("auto:", Address(text="auto:", kind="auto")),
        ("auto/2", Address(text="auto/2", kind="auto", port=2)),
        ("auto?y=7", Address(text="auto?y=7", kind="auto", options={"y": "7"})),
        ("sim?seed=7", Address(text="sim?seed=7", kind="sim", options={"seed": "7"})),
        (
            "serial:socket://gateway:4000",
            Address(
                text="serial:socket://gateway:4000",
                kind="serial",
                target="socket://gateway:4000",
                number=9600,
            ),
        ),
    ],
)
def test_forms_of_an_address(text: str, expected: Address) -> None:
    assert Address.parse(text) == expected


def test_blanks_around_an_address_do_not_matter() -> None:
    assert Address.parse(" tcp:h:1 ").target == "h"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        ":",
        "sim2",
        "SIM",
        "simulator:",
        "sim/",
        "sim/²",
        "sim/x",
        "sim/16",
        "sim:/16",
        "sim:/1234",
        "127.0.0.1:4059",
        "/dev/ttyUSB0",
        "http://h:80",
        "tcp",
        "tcp:",
        "tcp:h",
        "tcp:4059",
        "tcp::4059",
        "tcp:h:",
        "tcp:h:x",
        "tcp:h:0",
        "tcp:h:-1",
        "tcp:h:65536",
        "tcp:h:123456",
        "tcp:h:\N{FULLWIDTH DIGIT ONE}",
        "tcp:h:1:2",
        "tcp:::1:4059",
        "tcp:[::1:4059",
        "tcp:h:1/",
        "tcp:h:1/x",
        "tcp:h:1/16",
        "tcp:h:1/1234",
        "tcp:h:1/2/3",
        "tcp:h:1?wait=3",
        "tcp-listen",
        "tcp-listen:",
        "tcp-listen:x",
        "tcp-listen:65536",
        "tcp-listen:4059/16",
        "tcp-listen:4059?wiat=3",
        "tcp-listen:4059?wait=3&x",
        "serial",
        "serial:",
        "serial:/dev/x@0",
        "serial:/dev/x@000",
        "serial:/dev/x@9600/16",
        "serial:/dev/x@9600?parity=soft",
        "spi",
        "spi:",
        "spi:0",
        "spi:0.0/16",
        "spi:0.0?speed=1",
        "spi:/dev/spidev0.0",
        "opto",
        "opto:",
        "opto/2",
        "opto:?y=6",
        "opto:/dev/ttyUSB0/16",
        "opto:/dev/ttyUSB0?rate=9600",
        "auto:/dev/ttyUSB0",
        "auto/16",
        "auto?rate=9600",
        "tty:/dev/x",
        "opto:/dev/ttyUSB0?y=6&y=7",
        "opto:/dev/ttyUSB0?y=6&y=6",
        "sim:?seed=1&fault=drop:0.1&seed=2",
        "opto:socket://192.0.2.7?echo=on&echo=off",
        "opto:socket://127.0.0.1",
        "opto:socket://127.0.0.1/2",
        "opto:socket://:4059",
        "serial:socket://",
        "serial:socket://127.0.0.1:0",
        "serial:socket://127.0.0.1:65536",
        "serial:socket://127.0.0.1:http",
        "serial:socket://[::1",
        "serial:rfc2217://gateway@9600",
    ],
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(InputError) as caught:
        Address.parse(text)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_mistakes_of_a_kind_are_told_with_the_way_it_is_written() -> None:
    for text, hint in {
        "x": "tcp:HOST:PORT",
        "tcp:h": "127.0.0.1:4059",
        "tcp:1": "tcp:HOST:PORT",
        "serial:": "serial:/dev/ttyUSB0@9600",
        "serial:/dev/x@0": "serial:/dev/ttyUSB0@9600",
        "tcp:h:1?x": "it has none",
        "tcp-listen:1?x": "its options are wait",
        "auto?y=6&y=7": "leave one of them",
        "opto:socket://gateway": "socket://HOST:PORT",
        "serial:rfc2217://gateway": "rfc2217://HOST:PORT",
    }.items():
        with pytest.raises(InputError) as caught:
            Address.parse(text)
        assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", ("127.0.0.1", 0)),
        ("4059", ("127.0.0.1", 4059)),
        ("localhost:65535", ("localhost", 65_535)),
        ("[::1]:1", ("::1", 1)),
    ],
)
def test_host_and_port(text: str, expected: tuple[str, int]) -> None:
    assert parse_host_and_port(text) == expected
