"""What the matrix of commands works with: keys, packages, units at each stage, a factory, peers."""

import json
import os
import re
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from tests.cli.conftest import Outcome
from tests.cli.desk import METER, ROOT, Desk, laid
from tests.cli.matrix_check import check
from tests.cli.test_auth import try_a_key
from tests.device.scripted import ScriptedDevice, done, hang_up, reply, value
from tests.provision.factory import built
from tests.transports.ends import LOCALHOST, peer, play_on, terminal, without_privileges

UNIT, MAKER, SECURITY = "00237EFE00000007", "00237EFE000000B0", "00237EFE000000B1"
BY_ROOT = "--key root.pem --issuer-cert root.cvc"
BUILT_FOR = "--model EISGMv0 --target-min 00237EFE00000000 --target-max 00237EFE0000FFFF"
SCRIPTS = {
    "read": "read umi-id counter\n",
    "change": "write counter 5 --verify\n",
    "some-fail": "read counter\nread nosuch\nread counter\n",
    "valve": "write valve open\nread counter\n",
}
POLICY = """\
register = "issued.jsonl"
roles = ["manufacturer"]

[lifetime]
max-days = 60
default-days = 30

[targets]
min = "00237EFE00000000"
max = "00237EFE0000FFFF"

[subjects]
min = "00237EFE00000001"
max = "00237EFE000000FF"
"""
GARBAGE = bytes(range(32, 96))
SCRIPT_STEPS = 200  # more than any command asks
FORMS = {"table": "", "json": "--json", "events": "--events", "csv": "-o csv", "raw": "-o raw"}
LIVING = {"clock_offset_s", "synced_s", "profile", "replay"}
"""What moves in a unit's state whoever talks to it."""
_PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True, slots=True)
class MatrixDesk:
    """A desk that no run changes, and what each run gets a copy of."""

    desk: Desk
    fresh: Path
    """Files that a run may change: the states of units, journals."""
    places: dict[str, str]
    """What stands for `{name}` in a row: addresses of peers."""

    def words(self, line: str, work: Path) -> list[str]:
        """Return the words of a row; `{d}` is the desk, `{w}` the copy that the run may change."""
        known = {**self.places, "d": str(self.desk.path), "w": str(work)}
        return [_PLACE.sub(lambda found: known[found[1]], word) for word in line.split()]

    def work(self, path: Path) -> Path:
        """Copy what a run may change to a new directory."""
        return Path(shutil.copytree(self.fresh, path))


@contextmanager
def matrix_desk(path: Path) -> Iterator[MatrixDesk]:
    """Lay everything out in an empty directory, and be at the other end of the lines."""
    desk = laid(path)
    fresh = path / "fresh"
    fresh.mkdir()
    _add_parties(desk)
    _add_units(desk, fresh)
    _add_meters(desk, fresh)
    _add_packages(desk)
    _add_exports(desk, fresh)
    unit = _add_line(path / "factory", fresh)
    with _peers() as places:
        yield MatrixDesk(desk, fresh, {**places, "unit": unit, "pins": "spi:sim"})


def _add_exports(desk: Desk, fresh: Path) -> None:
    """Add what a meter held, and the same with a difference."""
    desk.do(f"-p sim:{fresh}/meter.json export {desk.path}/meter.export")
    text = (desk.path / "meter.export").read_text()
    assert "31733978" in text
    (desk.path / "spoilt.export").write_text(text.replace("31733978", "31733979"))


def _add_parties(desk: Desk) -> None:
    """Add a maker, a security authority, and what nobody may believe or use."""
    for name, umi_id, role in (
        ("maker", MAKER, "manufacturer"),
        ("security", SECURITY, "security-authority"),
    ):
        desk.do(f"key new {name}.pem")
        desk.do(f"cert request {name}.req --key {name}.pem --subject {umi_id} --issuer {ROOT}")
        desk.do(f"cert issue {name}.req {name}.cvc {BY_ROOT} --role {role}")
    desk.do("key new other.pem")
    desk.do(f"cert new other-root.cvc --key other.pem --subject {ROOT}")
    desk.do("key new other.key --type aes128")
    (desk.path / "policy.toml").write_text(POLICY, encoding="utf-8")
    (desk.path / "umi.toml").write_text("[profile.desk]\n", encoding="utf-8")
    for name, lines in SCRIPTS.items():
        (desk.path / f"{name}.lines").write_text(lines, encoding="utf-8")
    issue = f"cert issue maker.req registered.cvc {BY_ROOT} --role manufacturer"
    desk.do(f"{issue} --policy {desk.path}/policy.toml --yes")


def _add_units(desk: Desk, fresh: Path) -> None:
    """Make a unit as a user does; keep it blank, half and wholly provisioned."""
    blank, half, whole = (fresh / f"{name}.json" for name in ("blank", "half", "whole"))
    desk.do(f"-p sim:{blank}?blank=yes write umi-id {UNIT}")
    shutil.copy(blank, half)
    for step in ("device trust root.cvc", "device keypair", "device csr --out unit.req"):
        desk.do(f"-p sim:{half} {step}")
    shutil.copy(half, whole)
    desk.do(f"cert issue unit.req unit.cvc {BY_ROOT} --role metering-device")
    desk.do(f"-p sim:{whole} device install unit.cvc --anchor root.cvc")
    for name in ("maker", "security"):
        desk.do(f"-p sim:{whole} auth {_own(name)}")


WHEN_TRIED, WHILE_LOCKED = "2026-11-22T10:00:00Z", "2026-11-22T10:00:30Z"
"""When keys were tried at the meter that is locked, and a moment half a minute later."""


def _add_meters(desk: Desk, fresh: Path) -> None:
    """Make a meter that knows office and maker, and one that is locked after made up proofs."""
    meter, locked = fresh / "meter.json", fresh / "locked-out.json"
    role_keys = f"&role-keys=service:{desk.path}/service.key"
    desk.do(f"-p {desk.meter.replace('sim:', f'sim:{meter}')}{role_keys} auth {_own('maker')}")
    desk.do(f"-p sim:{meter} auth {_own('office').replace('office.cvc', 'chain.cvc')}")
    desk.do(f"sign valve open --target {METER} --out valve.umi --key office.pem --cert chain.cvc")
    shutil.copy(meter, locked)
    for _ in range(3):
        try_a_key(f"sim:{locked}?time={WHEN_TRIED}")


def _own(name: str) -> str:
    return f"--key {name}.pem --cert {name}.cvc --anchor root.cvc"


def _add_packages(desk: Desk) -> None:
    """Build what is newer than the meter's software, what is older, and what is spoilt."""
    desk.path.joinpath("firmware.bin").write_bytes(bytes(range(256)) * 40)
    for name, version in (("new", "1.5.0"), ("old", "1.4.1")):
        desk.do(f"image build firmware.bin {name}-plain.umi {BUILT_FOR} --version {version}")
        by_maker = "--key maker.pem --cert maker.cvc"
        desk.do(f"image sign {name}-plain.umi --out {name}.umi {by_maker}")
    spoilt = bytearray((desk.path / "new.umi").read_bytes())
    spoilt[-300] ^= 1
    (desk.path / "spoilt.umi").write_bytes(spoilt)


def _add_line(path: Path, fresh: Path) -> str:
    """Build a factory; keep its journal after a good unit and after a bad one, whose key it is."""
    path.mkdir()
    factory = built(path)
    good = factory.plan(2)
    bad = factory.plan(2, changes={'equals = "open"': 'equals = "closed"'}, name="bad.toml")

    def run(unit: str, plan: str, journal: str) -> None:
        address = f"sim:{fresh}/{unit}?blank=yes"
        words = ("run", plan, "--journal", str(fresh / journal), "--wait", "0.1")
        factory.desk.umi("-p", address, "provision", *words)

    run("done.json", good, "done.journal")
    run("bad.json", bad, "bad.journal")
    words = ("provision", "status", "--journal", str(fresh / "bad.journal"), "--json")
    [unit] = factory.desk.umi(*words).document["data"]
    return str(unit["unit"])


@contextmanager
def _peers() -> Iterator[dict[str, str]]:
    """Be devices that do wrong; yield their addresses."""

    def garbage(connection: socket.socket) -> None:
        while connection.recv(1000):
            connection.sendall(GARBAGE)

    def liar(connection: socket.socket) -> None:
        play_on(connection, ScriptedDevice([reply(transaction=1)] * SCRIPT_STEPS))

    def leaver(connection: socket.socket) -> None:
        play_on(connection, ScriptedDevice([hang_up]))

    def changer(connection: socket.socket) -> None:
        play_on(connection, ScriptedDevice([done, value(bytes(4))]))

    acts = {"garbage": garbage, "liar": liar, "leaver": leaver, "changer": changer}
    with ExitStack() as stack:
        places = {
            name: f"tcp:{LOCALHOST}:{stack.enter_context(peer(act))}" for name, act in acts.items()
        }
        busy = stack.enter_context(terminal())
        places["busy"] = f"serial:{busy.name}@9600"
        stack.enter_context(_locked(busy.name))
        shut = stack.enter_context(terminal())
        os.chmod(shut.name, 0)
        places["shut"] = f"serial:{shut.name}@9600"
        yield places


@contextmanager
def _locked(path: str) -> Iterator[None]:
    """Hold a serial port as another program does."""
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def memories(directory: Path) -> dict[str, object]:
    """Return what a directory's files hold; a unit's state in its entries, but for its clock."""
    found: dict[str, object] = {}
    for path in directory.iterdir():
        if path.suffix == ".json":
            state = json.loads(path.read_text(encoding="utf-8"))
            found |= {f"{path.name}: {name}": state[name] for name in set(state) - LIVING}
        elif path.suffix not in (".lock", ".locks"):
            found[path.name] = path.read_bytes()
    return found


class Runs:
    """Runs of `umi`, each with what it may change in a directory of its own."""

    def __init__(self, desk: MatrixDesk, path: Path) -> None:
        self._desk, self._path = desk, path
        self._number = 0

    def run(self, line: str, *, is_nobody: bool = False) -> Outcome:
        """Run a line in this process; as a user who may do nothing, if that is wanted."""
        words = self.words(line)
        with without_privileges() if is_nobody else nullcontext():
            return self._desk.desk.umi(*words)

    def words(self, line: str) -> list[str]:
        """Return the words of a run, which has what it may change in a new directory."""
        self._number += 1
        return self._desk.words(line, self._desk.work(self._path / str(self._number)))

    def changes(self) -> dict[str, str]:
        """Return what the last run has changed: files, or entries of a unit's state, and how."""
        before, after = memories(self._desk.fresh), memories(self._path / str(self._number))
        names = before.keys() | after.keys()
        return {
            name: f"{before.get(name)!s:.200} -> {after.get(name)!s:.200}"
            for name in sorted(names)
            if before.get(name) != after.get(name)
        }

    def check(self, line: str, code: int, forms: tuple[str, ...], *, is_said: bool = False) -> None:
        """Run a line in each form, and make sure that it ends as documented."""
        for form in forms:
            check(self.run(f"{line} {FORMS[form]}"), form, code, is_said=is_said)
