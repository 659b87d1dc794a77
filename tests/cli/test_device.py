"""`umi device`: from a blank unit to one that is trusted, as its users do it; and each refusal."""

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import TIME_LIMIT_S, Outcome, run_umi, start_umi
from tests.cli.desk import FILES, METER, OFFICE, ROOT, SUB, Desk, laid

UNIT, MAKER, SECURITY = "00237EFE00000007", "00237EFE000000B0", "00237EFE000000B1"
MAKER_ID = '{"model":"EISGMv0","manufacturer":"ELS","factory":"0025","serial":"00000042"}'
BY_ROOT = "--key root.pem --issuer-cert root.cvc"
AS_MAKER = "--key maker.pem --cert maker.cvc --anchor root.cvc"
AS_SECURITY = "--key security.pem --cert security.cvc --anchor root.cvc"
AS_OFFICE = "--key office.pem --cert chain.cvc --anchor root.cvc"


class Bench:
    """A desk, and a unit whose state is a file on it.

    Args:
        desk: with keys and certificates.
        state: the unit's state file.
        options: of the unit's address.
    """

    def __init__(self, desk: Desk, state: Path, options: str = "") -> None:
        self.desk, self.state, self.options = desk, state, options

    def words(self, line: str | list[str]) -> list[str]:
        words = line.split() if isinstance(line, str) else line
        address = f"sim:{self.state}" + (f"?{self.options}" if self.options else "")
        placed = [self.desk.file(word) if _is_file(word) else word for word in words]
        return ["-p", address, *placed]

    def run(self, line: str | list[str], env: Mapping[str, str] | None = None) -> Outcome:
        """Run `umi` at the unit in a process of its own."""
        return run_umi(*self.words(line), env=env)

    def call(self, line: str | list[str]) -> Outcome:
        """Run `umi` at the unit in this process."""
        return self.desk.umi(*self.words(line))

    def data(self, line: str | list[str]) -> Any:
        """Return what a command gives that must succeed."""
        words = line.split() if isinstance(line, str) else line
        return self.call([*words, "--json"]).document["data"]

    def refused(self, line: str, code: int, exit_code: int = 30) -> str:
        """Run what the unit refuses with a result code; return the hint."""
        outcome = self.run(line)
        assert (outcome.exit, outcome.stdout) == (exit_code, ""), outcome.stderr
        error = self.call([*line.split(), "--json"]).document["error"]
        assert error["result"]["number"] == code
        assert f"umi: {error['message']}\nhint: {error['hint']}\n" in outcome.stderr
        return str(error["hint"])


def _is_file(word: str) -> bool:
    return word.endswith(FILES) and not word.startswith(("/", "env:"))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Lay out a desk with a maker, a security authority, and what is not to be believed."""
    desk = laid(tmp_path_factory.mktemp("desk"))
    for name, umi_id, role in (
        ("maker", MAKER, "manufacturer"),
        ("security", SECURITY, "security-authority"),
    ):
        desk.do(f"key new {name}.pem")
        desk.do(f"cert request {name}.req --key {name}.pem --subject {umi_id} --issuer {ROOT}")
        desk.do(f"cert issue {name}.req {name}.cvc {BY_ROOT} --role {role}")
    desk.do("key new false.pem")
    desk.do(f"cert new false-root.cvc --key false.pem --subject {ROOT}")
    forging = "--key false.pem --issuer-cert false-root.cvc"
    desk.do(f"cert issue maker.req forged.cvc {forging} --role manufacturer")
    desk.do(f"cert issue maker.req elsewhere.cvc {BY_ROOT} --role user --target-max 1")
    early = "--from 2026-11-01T00:00:00Z --days 3000"
    desk.do(f"cert new early-root.cvc --key root.pem --subject {ROOT} --from 2026-10-01T00:00:00Z")
    by_early = "--key root.pem --issuer-cert early-root.cvc"
    desk.do(f"cert issue maker.req old-maker.cvc {by_early} --role manufacturer {early}")
    return desk


@pytest.fixture(scope="module")
def stages(desk: Desk) -> dict[str, Path]:
    """Provision a unit as a user does; return a copy of its state at each stage."""
    unit = Bench(desk, desk.path / "unit.json", "blank=yes")
    copies = {}

    def keep(stage: str) -> None:
        copies[stage] = desk.path / f"{stage}.json"
        shutil.copy(unit.state, copies[stage])

    outcome = unit.run(f"write umi-id {UNIT}")
    assert outcome.exit == 0, outcome.stderr
    assert unit.run(["write", "manufacturer-id", MAKER_ID]).exit == 0
    keep("blank")
    assert unit.run("device trust root.cvc").exit == 0
    assert unit.run("device keypair").exit == 0
    assert unit.run("device csr --out unit.req").exit == 0
    keep("half")
    desk.do(f"cert issue unit.req unit.cvc {BY_ROOT} --role metering-device")
    assert unit.run("device install unit.cvc --anchor root.cvc").exit == 0
    keep("whole")
    assert unit.run(f"auth {AS_MAKER}").exit == 0
    assert unit.run(f"write life-cycle locked --verify {AS_MAKER}").exit == 0
    keep("locked")
    assert unit.run(f"write life-cycle retired {AS_SECURITY}").exit == 0
    keep("retired")
    return copies


@pytest.fixture
def unit(desk: Desk, stages: dict[str, Path], tmp_path: Path) -> Any:
    """Return what makes a unit in a stage of its life."""

    def make(stage: str, options: str = "") -> Bench:
        state = tmp_path / f"{stage}.json"
        shutil.copy(stages[stage], state)
        return Bench(desk, state, options)

    return make


# The whole way


def test_what_a_blank_unit_is(desk: Desk, tmp_path: Path) -> None:
    blank = Bench(desk, tmp_path / "new.json", "blank=yes")
    info = blank.data("info")
    assert info["life_cycle"] == {"number": 0, "name": "blank"}
    assert info["identity"]["serial"] == "00000000"
    assert info["device"].startswith("02")
    assert blank.data("info")["device"] == info["device"], "the state file has it"
    assert blank.run(f"write umi-id {UNIT} --verify").exit == 0
    assert blank.data("read umi-id")[0]["value"] == UNIT


def test_a_session_under_the_new_certificate(desk: Desk, unit: Any) -> None:
    """The path that `stages` took ends in a unit that proves itself."""
    whole = unit("whole")
    document = whole.run(f"auth {AS_MAKER} --json").document
    assert document["data"]["confirmed"] is True
    assert document["data"]["device"] == UNIT
    assert document["data"]["device_certificate"]["issuer"] == ROOT
    info = whole.data("info")
    assert info["life_cycle"]["name"] == "provisioned"
    assert info["identity"]["serial"] == "00000042"
    shown = desk.umi("cert", "show", "unit.cvc", "--json").document["data"][0]
    found = whole.run("device certificate --json").document["data"]
    assert found["raw"] == shown["raw"]
    assert document["data"]["device_certificate"]["fingerprint"] == shown["fingerprint"]


def test_each_step_twice(unit: Any) -> None:
    """Exit 0 and nothing to do."""
    whole = unit("whole")
    first = whole.state.read_text()
    for line in (
        "device keypair",
        "device trust root.cvc",
        "device install unit.cvc --anchor root.cvc",
    ):
        outcome = whole.run(line)
        assert outcome.exit == 0
        assert "there already" in outcome.stdout
        document = whole.run(f"{line} --json").document
        assert (document["data"]["needed"], document["data"]["changed"]) == (False, False)
        assert document["command"] == " ".join(line.split()[:2])
        assert document["meta"]["device"] == UNIT
    assert whole.state.read_text().partition('"vault"')[2] == first.partition('"vault"')[2]


def test_a_chain_with_an_authority_between(desk: Desk, unit: Any) -> None:
    """A factory's own authority answers a request to the root; the root in the file stays here."""
    half = unit("half")
    desk.do(f"cert request factory.req --key sub.pem --subject {SUB} --issuer {ROOT}")
    desk.do(f"cert issue factory.req factory.cvc {BY_ROOT} --authority --signing-roles 3")
    by = "--key sub.pem --issuer-cert factory.cvc"
    desk.do(f"cert issue unit.req by-factory.cvc {by} --role metering-device")
    data = half.run("device install by-factory.cvc factory.cvc root.cvc --anchor root.cvc --json")
    chain = data.document["data"]["certificates"]
    assert [each["subject"] for each in chain] == [UNIT, SUB]
    assert all(each["changed"] for each in chain)
    assert half.run(f"auth {AS_MAKER}").exit == 0
    assert half.data(f"device certificate {SUB}")["subject"] == SUB


def test_what_people_see(unit: Any) -> None:
    half = unit("half")
    assert "key pair         there already" in half.run("device keypair").stdout
    shown = half.run("device csr").stdout
    assert f"subject          {UNIT}" in shown
    installed = half.run("device install unit.cvc --anchor root.cvc").stdout
    assert installed.startswith("installed and read back:\n")
    whole = unit("whole")
    text = whole.run("device trust root.cvc maker.cvc").stdout
    assert text.startswith("1 of 2 handed over; the others were there already:\n")
    assert whole.run(f"device certificate {MAKER}").exit == 0


def test_to_files_and_to_stdout(desk: Desk, unit: Any, tmp_path: Path) -> None:
    half = unit("half")
    path = tmp_path / "again.req"
    document = half.run(["device", "csr", "--out", str(path), "--json"]).document
    assert document["data"]["file"] == str(path)
    assert path.read_bytes().hex() == document["data"]["raw"]
    assert half.run("device csr -o raw").stdout.strip()[:4] == "7f21"
    again = half.run(["device", "csr", "--out", str(path)])
    assert again.exit == 2
    assert "this will replace" in again.stderr
    assert half.run(["device", "csr", "--out", str(path), "--yes"]).exit == 0
    whole, own = unit("whole"), tmp_path / "own.cvc"
    assert whole.run(["device", "certificate", "--out", str(own)]).exit == 0
    assert own.read_bytes() == (desk.path / "unit.cvc").read_bytes()


# Dry runs


@pytest.mark.parametrize(
    ("stage", "line"),
    [
        ("blank", "device keypair"),
        ("blank", "device trust root.cvc"),
        ("half", "device install unit.cvc --anchor root.cvc"),
        ("whole", "device trust maker.cvc"),
    ],
)
def test_a_dry_run_proves_and_changes_nothing(unit: Any, stage: str, line: str) -> None:
    bench = unit(stage)
    before = bench.state.read_text().partition('"vault"')[2]
    outcome = bench.run(f"{line} --dry-run")
    assert outcome.exit == 0, outcome.stderr
    assert "would be" in outcome.stdout
    data = bench.run(f"{line} --dry-run --json").document["data"]
    assert (data["needed"], data["changed"]) == (True, False)
    assert bench.state.read_text().partition('"vault"')[2] == before


def test_a_dry_run_of_what_is_lost_asks_nothing(unit: Any) -> None:
    whole = unit("whole")
    whole.run(f"auth {AS_SECURITY}")  # it knows us: a dry run hands nothing over
    before = whole.state.read_text().partition('"vault"')[2]
    for line in (
        "device revoke maker.cvc",
        "device answer-revocation maker.cvc --verdict revoked",
        "device check-revocation maker.cvc",
        "device key service service.key",
        "device relinquish",
    ):
        document = whole.run(f"{line} {AS_SECURITY} --dry-run --json").document
        assert document["data"]["changed"] is False
        assert "would be" in whole.call(f"{line} {AS_SECURITY} --dry-run").stdout
    assert whole.state.read_text().partition('"vault"')[2] == before


# Rights


def test_a_party_is_revoked(unit: Any) -> None:
    whole = unit("whole")
    assert whole.run(f"auth {AS_MAKER}").exit == 0
    outcome = whole.run(f"device revoke maker.cvc {AS_SECURITY}")
    assert outcome.exit == 2
    assert "whose holder the device no longer obeys: it needs a yes" in outcome.stderr
    assert whole.run(f"device revoke maker.cvc {AS_SECURITY} --yes").exit == 0
    assert "was revoked" in whole.refused(f"auth {AS_MAKER}", 141)


def test_a_certificate_is_named_by_its_parts(desk: Desk, unit: Any) -> None:
    whole = unit("whole")
    [shown] = desk.umi("cert", "show", "office.cvc", "--json").document["data"]
    name = f"--issuer {SUB} --subject {OFFICE} --serial {shown['serial']}"
    data = whole.data(f"device revoke {name} {AS_SECURITY} --yes")
    parts = {"issuer": SUB, "subject": OFFICE, "serial": shown["serial"]}
    assert data == {**parts, "changed": True}
    assert "was revoked" in whole.refused(f"auth {AS_OFFICE}", 141)
    for wrong in ("", f"--issuer {SUB}", f"office.cvc --subject {OFFICE}", "--serial 00"):
        outcome = whole.call(f"device revoke {wrong} {AS_SECURITY} --yes")
        assert outcome.exit == 2
        assert "umi cert show tells them" in outcome.stderr
    long = f"--issuer 1 --subject 2 --serial {'00' * 256}"
    assert whole.call(f"device revoke {long} {AS_SECURITY} --yes").exit == 2


def test_a_revocation_is_asked_about_and_answered(unit: Any) -> None:
    whole = unit("whole")
    assert whole.call(f"auth {AS_OFFICE}").exit == 0
    asked = whole.run(f"device check-revocation office.cvc {AS_SECURITY}")
    assert (asked.exit, asked.stdout.endswith(": asked about\n")) == (0, True)
    answered = whole.data(f"device answer-revocation office.cvc --verdict good {AS_SECURITY}")
    assert (answered["verdict"], answered["changed"]) == ("good", True)
    assert whole.call(f"auth {AS_OFFICE}").exit == 0
    revoking = f"device answer-revocation office.cvc --verdict revoked {AS_SECURITY}"
    assert whole.call(revoking).exit == 2
    assert whole.call(f"{revoking} --yes").exit == 0
    assert whole.call(f"auth {AS_OFFICE}").exit == 30


def test_rights_are_given_up(unit: Any) -> None:
    whole = unit("whole")
    line = f"device relinquish {AS_OFFICE}"
    assert "it needs a yes" in whole.run(line).stderr
    outcome = whole.run(f"{line} --yes")
    assert (outcome.exit, outcome.stdout) == (0, f"rights of {OFFICE}: given up\n")
    assert whole.call(f"device certificate {OFFICE}").exit == 30
    document = whole.call(["device", "relinquish", "--yes", "--json"]).document
    assert document["error"]["exit"] == 2
    assert "--key and --cert" in document["error"]["hint"]


# A role's key


def test_a_role_s_key(desk: Desk, unit: Any) -> None:
    whole = unit("whole")
    line = f"device key service service.key {AS_MAKER}"
    asked = whole.run(line)
    assert asked.exit == 2
    assert "replace the key of the role service" in asked.stderr
    check = desk.umi("key", "show", "service.key", "--json").document["data"]["check_value"]
    document = whole.run(f"{line} --yes --json").document
    assert document["data"] == {"role": "service", "check_value": check, "changed": True}
    role = "--scheme 1 --role service --key service.key"
    assert whole.run(f"auth {role}").exit == 0


@pytest.mark.parametrize("proof", ["", "--scheme 1 --role service --key service.key"])
def test_a_key_is_not_sent_in_the_clear(unit: Any, proof: str) -> None:
    outcome = unit("whole").run(f"device key service service.key --yes {proof}")
    assert (outcome.exit, outcome.stdout) == (2, "")
    assert "encrypted session alone" in outcome.stderr
    assert "hint: give --key and --cert" in outcome.stderr


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("device key guest service.key", 2),
        ("device key king service.key", 2),
        ("device key service.key service", 2),
        ("device key service office.pem", 22),
        ("device key service nosuch.key", 22),
        ("device key service 000102030405060708090a0b0c0d0e0f", 2),
    ],
)
def test_what_is_no_role_and_no_key(unit: Any, line: str, code: int) -> None:
    outcome = unit("whole").call(f"{line} {AS_MAKER} --yes")
    assert (outcome.exit, outcome.stdout) == (code, ""), outcome.stderr
    assert "hint: " in outcome.stderr


# What is refused on the desk


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("device install unit.cvc", 2, "add --anchor FILE"),
        ("device install meter.cvc --anchor root.cvc", 24, "wrong-key"),
        ("device install maker.cvc --anchor root.cvc", 24, "wrong-key"),
        ("device install unit.cvc --anchor false-root.cvc", 24, "bad-signature"),
        ("device install office.cvc --anchor root.cvc", 24, "unknown-issuer"),
        ("device install unit.req --anchor root.cvc", 22, "holds no certificate"),
        ("device trust nosuch.cvc", 22, "cannot read"),
        ("device trust", 2, "missing argument"),
        ("device certificate 12x", 2, "is not a UMI ID"),
        ("device answer-revocation unit.cvc", 2, "--verdict"),
        ("device revok unit.cvc", 2, "did you mean revoke?"),
    ],
)
def test_what_is_wrong_on_the_desk_goes_nowhere(unit: Any, line: str, code: int, said: str) -> None:
    half = unit("half")
    before = half.state.read_text().partition('"vault"')[2]
    outcome = half.run(line)
    assert (outcome.exit, outcome.stdout) == (code, "")
    assert said in outcome.stderr
    assert half.call([*line.split(), "--json"]).document["error"]["exit"] == code
    assert half.state.read_text().partition('"vault"')[2] == before


def test_a_certificate_for_another_role(desk: Desk, unit: Any) -> None:
    """Whoever commands devices must not be able to pose as one."""
    desk.do(f"cert issue unit.req service-unit.cvc {BY_ROOT} --role service")
    outcome = unit("half").run("device install service-unit.cvc --anchor root.cvc")
    assert outcome.exit == 24
    assert "wrong-role" in outcome.stderr


# What the device refuses: 130 to 142, and roles


def test_130_no_key_pair(unit: Any) -> None:
    blank = unit("blank")
    assert "umi device keypair" in blank.refused("device csr", 130)
    assert "umi device keypair" in blank.refused("device install unit.cvc --anchor root.cvc", 130)


def test_131_no_certificate(unit: Any) -> None:
    for stage in ("blank", "half"):
        assert "umi device install" in unit(stage).refused("device certificate", 131)
        assert "umi device install" in unit(stage).refused(f"auth {AS_MAKER}", 131)
    assert "umi device trust" in unit("whole").refused(f"device certificate {OFFICE}", 131)


def test_132_a_second_key_pair(unit: Any) -> None:
    """It is not asked for where there is one; a guest could not have it made anyway."""
    whole = unit("whole")
    assert whole.run("device keypair").exit == 0
    half = unit("half")
    assert half.data("device keypair")["changed"] is False


def test_133_another_chain(desk: Desk, unit: Any) -> None:
    """The maker's is refused; that of the security authority takes its place."""
    desk.do(f"cert issue unit.req renewed.cvc {BY_ROOT} --role metering-device")
    whole = unit("whole")
    line = "device install renewed.cvc --yes"
    assert "umi device certificate" in whole.refused(f"{line} {AS_MAKER}", 133)
    assert whole.run(f"device install renewed.cvc {AS_SECURITY}").exit == 2
    assert whole.run(f"{line} {AS_SECURITY}").exit == 0
    whole.refused("device install unit.cvc --anchor root.cvc --yes", 9, 23)


def test_133_an_older_certificate(unit: Any) -> None:
    whole = unit("whole")
    assert whole.call("device trust maker.cvc").exit == 0
    assert "newer certificate" in whole.refused("device trust old-maker.cvc", 133)


def test_134_135_no_revocation_point(unit: Any) -> None:
    whole = unit("whole")
    line = f"device check-revocation office.cvc {AS_MAKER}"
    assert "umi device trust" in whole.refused(line, 135)
    assert whole.call("device trust security.cvc").exit == 0
    assert "umi device answer-revocation" in whole.refused(line, 134)


def test_137_an_unknown_issuer(unit: Any) -> None:
    whole = unit("whole")
    assert "issuer's first" in whole.refused("device trust office.cvc", 137)
    assert whole.run("device trust office.cvc sub.cvc").exit == 0, "issuers go first"


def test_137_a_unit_without_a_root(unit: Any) -> None:
    assert "umi device trust" in unit("blank").refused("device trust maker.cvc", 137)


def test_138_a_full_memory(unit: Any) -> None:
    whole = unit("whole")
    for number in range(16):
        name = f"--issuer 1 --subject {number} --serial 01"
        assert whole.call(f"device revoke {name} {AS_SECURITY} --yes").exit == 0
    assert "forgets the party" in whole.refused(f"device revoke maker.cvc {AS_SECURITY} --yes", 138)


def test_140_a_forged_certificate(unit: Any) -> None:
    assert "umi cert verify" in unit("whole").refused("device trust forged.cvc", 140)


def test_141_a_certificate_for_others(unit: Any) -> None:
    assert "umi cert show" in unit("whole").refused("device trust elsewhere.cvc", 141)


def test_142_a_full_key_table(unit: Any) -> None:
    whole = unit("whole", "key-table=1")
    assert whole.call("device trust maker.cvc").exit == 0
    assert "no room" in whole.refused("device trust security.cvc", 142)
    assert whole.call(f"device relinquish {AS_MAKER} --yes").exit == 0
    assert whole.call("device trust security.cvc").exit == 0


def test_who_may_not(unit: Any) -> None:
    whole, locked = unit("whole"), unit("locked")
    whole.refused(f"device revoke office.cvc {AS_MAKER} --yes", 9, 23)
    whole.refused(f"write umi-id {METER}", 9, 23)
    whole.refused(f"write umi-id {METER} {AS_MAKER}", 133)
    locked.refused(f"device key service service.key {AS_MAKER} --yes", 9, 23)
    assert locked.run(f"device key service service.key {AS_SECURITY} --yes").exit == 0
    assert locked.data("info")["life_cycle"]["name"] == "locked"


def test_a_retired_unit(unit: Any) -> None:
    """It says who it was; nothing else."""
    retired = unit("retired")
    assert retired.run("read umi-id manufacturer-id/serial").stdout.split()[-1] == "00000042"
    assert retired.run("device certificate").exit == 0
    retired.refused("read counter", 9, 23)
    retired.refused(f"auth {AS_SECURITY}", 9, 23)
    shown = retired.run("info").stdout
    assert "life cycle     retired" in shown


# A unit that is served


@contextmanager
def served(state: Path) -> Iterator[str]:
    """Serve a unit, and kill the server without a word; yield its address."""
    words = ("sim", "--tcp", "127.0.0.1:0", "--blank", "--key-table", "1", "--state", str(state))
    process = start_umi(*words)
    try:
        [address] = json.loads(process.stdout.readline())["addresses"]
        yield address
    finally:
        process.kill()
        process.communicate(timeout=TIME_LIMIT_S)


def test_a_unit_whose_power_is_cut_after_each_step(desk: Desk, tmp_path: Path) -> None:
    """Whatever was answered has happened, and the next step finds it."""
    state, lines = tmp_path / "served.json", [f"write umi-id {UNIT}", "device trust root.cvc"]
    lines += ["device keypair", "device csr --out served.req --yes"]
    for line in lines:
        with served(state) as address:
            words = [desk.file(word) if _is_file(word) else word for word in line.split()]
            assert desk.umi("-p", address, *words).exit == 0
    desk.do(f"cert issue served.req served.cvc {BY_ROOT} --role metering-device")
    for changed in (True, False):
        with served(state) as address:
            line = f"-p {address} device install served.cvc --anchor root.cvc --json"
            assert desk.umi(*line.split()).document["data"]["changed"] is changed
    with served(state) as address:
        assert desk.umi("-p", address, *f"auth {AS_MAKER}".split()).exit == 0
        assert desk.umi("-p", address, "device", "trust", "security.cvc").exit == 30


def test_a_unit_is_provisioned_over_a_bad_line(desk: Desk, tmp_path: Path) -> None:
    """Each step again until it is done; what is done is done once."""
    faults = "blank=yes&fault=drop:0.1,flip:0.1"
    bench = Bench(desk, tmp_path / "bad.json", faults)

    def insist(line: str) -> None:
        for seed in range(20):
            bench.options = f"{faults}&seed={seed}"
            if bench.call(line).exit == 0:
                return
        raise AssertionError(f"20 times: {line}")

    for line in (f"write umi-id {UNIT}", "device trust root.cvc", "device keypair"):
        insist(line)
    bench.options = ""
    request = bench.data("device csr --out bad.req --yes")
    assert request["subject"] == UNIT
    desk.do(f"cert issue bad.req bad.cvc {BY_ROOT} --role metering-device --yes")
    bench.options = faults
    insist("device install bad.cvc --anchor root.cvc")
    bench.options = ""
    assert bench.call(f"auth {AS_MAKER}").exit == 0
    assert bench.data("device keypair")["public_point"] == request["public_point"]
