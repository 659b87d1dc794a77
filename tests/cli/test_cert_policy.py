"""`umi cert issue --policy`: nothing outside the policy, no serial twice, nothing unregistered."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import UMI, Outcome, environment
from tests.cli.desk import METER, OFFICE, ROOT, Desk, laid
from umi_cli.certificates.chain import decode_chain
from umi_cli.certificates.register import Register
from umi_cli.cli import cert_policy
from umi_cli.cli.cert_policy import load_policy
from umi_cli.errors import InputError
from umi_cli.types import Role, RoleSet

POLICY = """\
register = "issued.jsonl"
roles = ["service", "user"]

[lifetime]
max-days = 60
default-days = 30

[targets]
min = "00237EFE00000000"
max = "00237EFE0000FFFF"

[subjects]
min = "00237EFE00000001"
max = "00237EFE000000A1"

[subordinates]
signing-roles = ["service"]
"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Return a desk with requests to its root, of the office, of an authority, of others."""
    desk = laid(tmp_path_factory.mktemp("desk"))
    for name, subject in (("office", OFFICE), ("far", "00237EFE000000FF")):
        desk.do(
            f"cert request {name}-root.req --key office.pem --subject {subject} --issuer {ROOT}"
        )
    return desk


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a directory with a policy and nothing else."""
    (tmp_path / "policy.toml").write_text(POLICY)
    return tmp_path


def words(place: Path, *more: str, req: str = "office-root.req", out: str = "") -> list[str]:
    files = ["cert", "issue", req, out or f"{place}/new.cvc"]
    by = ["--key", "root.pem", "--issuer-cert", "root.cvc", "--policy", f"{place}/policy.toml"]
    return [*files, *by, *more]


def issue(desk: Desk, place: Path, *more: str, **named: str) -> Outcome:
    return desk.umi(*words(place, "--role", "service", "--yes", *more, **named))


def lines(place: Path) -> list[dict[str, Any]]:
    path = place / "issued.jsonl"
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def test_what_the_policy_allows_is_issued_and_registered(desk: Desk, place: Path) -> None:
    first = issue(desk, place, "--json", "--operator", "anna").document
    data = first["data"]
    assert data["targets"] == {"lowest": "00237EFE00000000", "highest": "00237EFE0000FFFF"}
    [line] = lines(place)
    assert (line["n"], line["p"]) == (1, "0" * 64)
    assert (line["issuer"], line["subject"], line["role"]) == (ROOT, OFFICE, "service")
    assert (line["serial"], line["fingerprint"]) == (data["serial"], data["fingerprint"])
    assert line["operator"] == "anna"
    assert data["valid_from"] <= line["time"] < data["valid_until"]
    [warning] = first["warnings"]
    assert "issued.jsonl is new" in warning
    assert stat.S_IMODE((place / "issued.jsonl").stat().st_mode) == 0o600
    register = Register.decode((place / "issued.jsonl").read_bytes())
    assert (data["register"], data["entry"]) == (f"{place}/issued.jsonl", 1)
    assert data["head"] == register.head
    [certificate] = decode_chain((place / "new.cvc").read_bytes())
    lifetime = certificate.body.valid_until - certificate.body.valid_from
    assert lifetime.days == 30
    again = issue(desk, place, "--days", "60", "--json").document
    assert again["data"]["entry"] == 2
    assert again["warnings"] == []
    assert lines(place)[1]["operator"]


def test_an_authority_within_the_policy(desk: Desk, place: Path) -> None:
    more = ["--authority", "--signing-roles", "service", "--json"]
    assert desk.umi(*words(place, *more, req="sub.req")).document["data"]["kind"] == "authority"
    assert lines(place)[0]["role"] == "authority"


@pytest.mark.parametrize(
    ("more", "req", "said", "allowed"),
    [
        (["--role", "manufacturer"], "office", "the role manufacturer", "the roles user,service"),
        (["--role", "user", "--days", "61"], "office", "more than 60 days", "--days 60"),
        (["--role", "user"], "far", "00237EFE000000FF be certified", "..00237EFE000000A1"),
        (
            ["--role", "user", "--target-max", "F" * 16],
            "office",
            "the targets",
            "00237EFE00000000..00237EFE0000FFFF",
        ),
        (
            ["--authority", "--signing-roles", "user"],
            "office",
            "the signing roles user",
            "the signing roles service",
        ),
        (
            ["--authority", "--signing-roles", "service", "--devolvable-roles", "service"],
            "office",
            "the devolvable roles service",
            "the devolvable roles none",
        ),
    ],
    ids=str,
)
def test_what_the_policy_does_not_allow(
    desk: Desk, place: Path, more: list[str], req: str, said: str, allowed: str
) -> None:
    outcome = desk.umi(*words(place, *more, "--json", req=f"{req}-root.req"))
    error = outcome.document["error"]
    assert (outcome.exit, error["code"]) == (2, "outside-policy")
    assert said in error["message"]
    assert allowed in error["hint"]
    assert os.listdir(place) == ["policy.toml"]


def test_what_the_chain_does_not_allow_is_not_registered(desk: Desk, place: Path) -> None:
    text = (place / "policy.toml").read_text().replace('"service", "user"', '"manufacturer"')
    (place / "policy.toml").write_text(text.replace("60", "9000"))
    more = ["--role", "manufacturer", "--key", "sub.pem", "--issuer-cert", "sub.cvc"]
    outcome = desk.umi(*words(place, *more, req="office.req"))
    assert outcome.exit == 24
    assert "role-exceeded" in outcome.stderr
    assert lines(place) == []
    assert not (place / "new.cvc").exists()


def test_a_serial_is_given_once(desk: Desk, place: Path) -> None:
    assert issue(desk, place, "--serial", "0a0b").exit == 0
    first = (place / "new.cvc").read_bytes()
    outcome = issue(desk, place, "--serial", "0a0b", "--json")
    assert outcome.exit == 51
    assert outcome.document["error"]["code"] == "conflict"
    assert "0a0b was given before, as entry 1" in outcome.document["error"]["message"]
    assert (place / "new.cvc").read_bytes() == first
    assert len(lines(place)) == 1


def test_a_random_serial_that_was_given_is_drawn_again(
    desk: Desk, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = [bytes([1] * 8), bytes([1] * 8), bytes([1] * 8), bytes([2] * 8)]
    monkeypatch.setattr("secrets.token_bytes", lambda length: drawn.pop(0))
    monkeypatch.setattr("secrets.token_hex", lambda length: "0" * length)
    assert issue(desk, place).exit == 0
    assert issue(desk, place).exit == 0
    assert [line["serial"] for line in lines(place)] == ["01" * 8, "02" * 8]


def test_an_operator_without_a_policy_or_a_name(desk: Desk, place: Path) -> None:
    line = "cert issue office-root.req x.cvc --key root.pem --issuer-cert root.cvc --role user"
    outcome = desk.umi(*line.split(), "--operator", "anna")
    assert outcome.exit == 2
    assert "add --policy" in outcome.stderr
    assert issue(desk, place, "--operator", "a}b").exit == 2
    assert lines(place) == []


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(uid: int) -> None:
        raise KeyError(uid)

    monkeypatch.setattr("pwd.getpwuid", nobody)
    assert cert_policy._login_name() == f"uid{os.getuid()}"


# Where it cannot be written


@pytest.mark.parametrize("out", ["nosuch/new.cvc", "there.cvc"])
def test_nothing_is_registered_that_has_no_place(desk: Desk, place: Path, out: str) -> None:
    (place / "there.cvc").write_bytes(b"there")
    outcome = desk.umi(*words(place, "--role", "user", out=f"{place}/{out}"))
    assert outcome.exit == 2
    assert lines(place) == []


def test_what_cannot_be_written_after_all_stays_registered(
    desk: Desk, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("umi_cli.files.write_atomically", full)
    outcome = issue(desk, place)
    assert outcome.exit == 2
    assert "entry 1 of the register stays" in outcome.stderr
    assert len(lines(place)) == 1


def test_nothing_is_written_that_is_not_on_the_disk_of_the_register(
    desk: Desk, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    (place / "issued.jsonl").touch(mode=0o600)
    monkeypatch.setattr(os, "fsync", failing)
    outcome = issue(desk, place)
    assert outcome.exit == 52
    assert "cannot use the register" in outcome.stderr
    assert not (place / "new.cvc").exists()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: (path.touch(), path.chmod(0o666)), "other users can write"),
        (lambda path: path.symlink_to("elsewhere"), "symbolic links"),
        (lambda path: path.write_text("{}\n"), "line 1 is no line of a register"),
    ],
    ids=["directory", "open to others", "link", "changed"],
)
def test_registers_that_cannot_be_used(desk: Desk, place: Path, spoil: Any, said: str) -> None:
    spoil(place / "issued.jsonl")
    outcome = issue(desk, place, "--json")
    assert outcome.exit == 52
    assert outcome.document["error"]["code"] == "register-unusable"
    assert said in outcome.document["error"]["message"]
    assert not (place / "new.cvc").exists()


# Crashes, and many at once

CRASH = """
import os, sys
from umi_cli.cli.main import run
write, fsync = os.write, os.fsync
def cut(descriptor, data):
    if b'"fingerprint"' not in data:
        return write(descriptor, data)
    write(descriptor, data[:int(sys.argv[1])])
    os.kill(os.getpid(), 9)
os.write = cut
run(sys.argv[2:])
"""


def crash(desk: Desk, place: Path, length: int) -> None:
    """Issue, and be killed when so many bytes of the line are written."""
    process = subprocess.run(
        [sys.executable, "-c", CRASH, str(length), *words(place, "--role", "user")],
        cwd=desk.path,
        env=environment(),
        check=False,
    )
    assert process.returncode == -signal.SIGKILL


def test_after_a_crash_it_goes_on(desk: Desk, place: Path) -> None:
    assert issue(desk, place).exit == 0
    (place / "new.cvc").unlink()
    for length in (100, 1):
        crash(desk, place, length)
        assert os.listdir(place).count("new.cvc") == 0
    verified = desk.umi("cert", "verify-register", f"{place}/issued.jsonl", "--json")
    assert verified.document["data"]["entries"] == 1
    assert verified.document["data"]["torn"] == 101
    assert "was cut, as by a crash, after entry 1" in verified.document["warnings"][0]
    after = issue(desk, place, "--json")
    assert after.document["data"]["entry"] == 2
    assert "was cut, as by a crash" in after.document["warnings"][0]
    verified = desk.umi("cert", "verify-register", f"{place}/issued.jsonl", "--json")
    assert verified.document["warnings"] == []
    assert verified.document["data"]["entries"] == 2
    assert verified.document["data"]["head"] == after.document["data"]["head"]


def test_a_crash_behind_the_whole_line_leaves_an_entry_without_a_certificate(
    desk: Desk, place: Path
) -> None:
    crash(desk, place, 10_000)
    assert not (place / "new.cvc").exists()
    assert issue(desk, place).exit == 0
    assert len({line["serial"] for line in lines(place)}) == 2


def test_many_at_once(desk: Desk, place: Path) -> None:
    running = [
        subprocess.Popen(
            [*UMI, *words(place, "--role", "user", out=f"{place}/{number}.cvc"), "--json"],
            cwd=desk.path,
            env=environment(),
            stdout=subprocess.DEVNULL,
        )
        for number in range(6)
    ]
    assert [process.wait() for process in running] == [0] * 6
    assert Register.decode((place / "issued.jsonl").read_bytes()).count == 6
    made = [decode_chain(path.read_bytes())[0] for path in place.glob("*.cvc")]
    registered = {line["fingerprint"] for line in lines(place)}
    assert {certificate.fingerprint.hex() for certificate in made} == registered


# umi cert verify-register


def test_the_first_bad_line_is_named(desk: Desk, place: Path) -> None:
    for _ in range(3):
        assert issue(desk, place).exit == 0
    path = place / "issued.jsonl"
    good = desk.umi("cert", "verify-register", str(path), "--json").document["data"]
    head = f"{good['entries']}:{good['head']}"
    assert desk.umi("cert", "verify-register", str(path), "--was", head).exit == 0
    whole = path.read_text().splitlines(keepends=True)
    path.write_text(whole[0] + whole[1].replace("service", "user") + whole[2])
    changed = desk.umi("cert", "verify-register", str(path))
    assert changed.exit == 52
    assert "line 3 does not follow" in changed.stderr
    path.write_text("".join(whole[:2]))
    assert desk.umi("cert", "verify-register", str(path)).exit == 0
    cut = desk.umi("cert", "verify-register", str(path), "--was", head)
    assert cut.exit == 52
    assert "entry 3 was there" in cut.stderr


def test_what_is_no_register(desk: Desk, place: Path) -> None:
    assert desk.umi("cert", "verify-register", f"{place}/nosuch.jsonl").exit == 52
    assert desk.umi("cert", "verify-register", "root.cvc").exit == 52
    bad = desk.umi("cert", "verify-register", f"{place}/nosuch.jsonl", "--was", "1:x")
    assert bad.exit == 2
    assert "ENTRY:HASH" in bad.stderr


# The file of a policy


def test_the_least_policy(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text('register = "r"\nroles = ["service", "4"]\n[lifetime]\nmax-days = 7\n')
    found = load_policy(str(path))
    assert found.register == tmp_path / "r"
    policy = found.policy
    assert policy.roles == RoleSet.of(Role.SERVICE, Role.USER)
    assert (policy.max_days, policy.default_days) == (7, 7)
    assert str(policy.targets) == str(policy.subjects) == f"{'0' * 16}..{'F' * 16}"
    assert policy.subordinates is None


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('register = "issued.jsonl"\n', "", "line 1: register: it is missing"),
        ('"issued.jsonl"', '""', "line 1: register: the name of a file"),
        ('"issued.jsonl"', "7", "line 1: register: a text"),
        ('roles = ["service", "user"]\n', "", "roles: it is missing"),
        ('"service", "user"', '"king"', "line 2: roles: there is no role 'king'"),
        ("max-days = 60", "max-days = 0", "line 5: lifetime.max-days: 0 is out of range"),
        ("max-days = 60\n", "", "line 4: lifetime.max-days: it is missing"),
        ("max-days = 60", "max-days = true", "lifetime.max-days: a whole number"),
        ("default-days = 30", "default-days = 61", "line 6: lifetime.default-days: 61 is out"),
        ("default-days", "defualt-days", "line 6: lifetime.defualt-days: there is no such key"),
        ('min = "00237EFE00000000"', 'min = "x"', "line 9: targets.min: 'x' is not a UMI ID"),
        ('min = "00237EFE00000000"\n', "", "line 8: targets.min: it is missing"),
        ("FFFF", 'FFFF"\nmid = "1', "targets.mid: there is no such key"),
        ('min = "00237EFE00000001"', 'min = "F000000000000000"', "line 14: subjects.max: "),
        ('signing-roles = ["service"]\n', "", "subordinates.signing-roles: it is missing"),
        ('signing-roles = ["service"]', 'signing-roles = ["?"]', "line 17: subordinates.signing"),
        ("[subordinates]", "[subordinate]", "subordinate: there is no such key"),
        ("[subordinates]\n", "[subordinates]\nx = 1\n", "line 17: subordinates.x: there is no"),
        ("[lifetime]", "[lifetime", "line 4: not TOML"),
        (METER, "x", "line 13: subjects.min"),
    ],
)
def test_what_is_wrong_in_a_policy_is_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "policy.toml"
    assert old in POLICY
    path.write_text(POLICY.replace(old, new))
    with pytest.raises(InputError) as caught:
        load_policy(str(path))
    assert str(caught.value).startswith(f"{path}, line ")
    assert said in str(caught.value)


def test_a_policy_that_is_not_there(desk: Desk, place: Path) -> None:
    (place / "policy.toml").unlink()
    outcome = issue(desk, place)
    assert outcome.exit == 2
    assert "cannot read" in outcome.stderr
