"""`umi cert`: the whole way on the desk, root to leaf, and every refusal by its name."""

import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import UMI, environment
from tests.cli.desk import METER, OFFICE, ROOT, SUB, Desk, laid
from umi_cli.certificates.chain import decode_chain
from umi_cli.certificates.request import CertificateRequest
from umi_cli.crypto import PrivateKey

RECORD = {
    "issuer",
    "subject",
    "serial",
    "valid_from",
    "valid_until",
    "state",
    "kind",
    "role",
    "signing_roles",
    "devolvable_roles",
    "targets",
    "flags",
    "public_point",
    "self_signed",
    "fingerprint",
    "signature",
    "raw",
}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Return a desk that nothing is overwritten on."""
    return laid(tmp_path_factory.mktemp("desk"))


def new(desk: Desk, tmp_path: Path, *args: str) -> dict[str, Any]:
    """Make a root certificate and return its record."""
    words = ["cert", "new", f"{tmp_path}/new.cvc", "--key", "root.pem", "--subject", ROOT]
    return dict(desk.umi(*words, *args, "--json").document["data"])


def issue(desk: Desk, tmp_path: Path, *args: str, ca: str = "sub", req: str = "office.req") -> Any:
    words = ["cert", "issue", req, f"{tmp_path}/issued.cvc"]
    return desk.umi(*words, "--key", f"{ca}.pem", "--issuer-cert", f"{ca}.cvc", *args, "--json")


def test_the_whole_way(desk: Desk) -> None:
    outcome = desk.do(f"cert verify chain.cvc --anchor root.cvc --role service --target {METER}")
    assert outcome.stdout.startswith("trusted, ")
    lines = outcome.stdout.splitlines()[-3:]
    assert [line.split()[0] for line in lines] == [OFFICE, SUB, ROOT]


def test_verify_as_json(desk: Desk) -> None:
    words = ["cert", "verify", "office.cvc", "--intermediate", "sub.cvc", "--anchor", "root.cvc"]
    data = desk.umi(*words, "--anchor", "meter.cvc", "--json").document["data"]
    assert (data["trusted"], data["failure"]) == (True, None)
    assert [each["subject"] for each in data["path"]] == [OFFICE, SUB, ROOT]
    assert set(data["path"][0]) == RECORD


@pytest.mark.parametrize(
    ("args", "failure"),
    [
        (["office.cvc", "--anchor", "root.cvc"], "unknown-issuer"),
        (["chain.cvc", "--anchor", "other.cvc"], "unknown-issuer"),
        (["root.cvc", "--anchor", "other.cvc"], "no-anchor"),
        (["forged.cvc", "--anchor", "root.cvc"], "bad-signature"),
        (["chain.cvc", "--anchor", "root.cvc", "--at", "2040-01-01T00:00:00Z"], "expired"),
        (
            ["chain.cvc", "--anchor", "root.cvc", "--at", "2001-01-01T00:00:00+01:00"],
            "not-yet-valid",
        ),
        (
            ["chain.cvc", "--anchor", "root.cvc", "--target", "F" * 16],
            "wrong-target",
        ),
        (["chain.cvc", "--anchor", "root.cvc", "--role", "user"], "wrong-role"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_verify_names_the_failure(desk: Desk, args: list[str], failure: str) -> None:
    if not (desk.path / "other.cvc").exists():
        desk.do(f"cert new other.cvc --key meter.pem --subject {METER}")
        body = (desk.path / "meter.cvc").read_bytes()
        other = PrivateKey.generate().sign(b"")
        [certificate] = decode_chain(body)
        forged = certificate.envelope.__class__(signed=certificate.envelope.signed, signature=other)
        (desk.path / "forged.cvc").write_bytes(forged.encode())
    outcome = desk.umi("cert", "verify", *args, "--json")
    document = outcome.document
    assert outcome.exit == 24
    assert document["error"]["code"] == "not-trusted"
    assert document["error"]["message"].startswith(f"{failure}: ")
    assert document["data"]["failure"] == failure
    for form in ("csv", "raw", "table"):
        people = desk.umi("cert", "verify", *args, "-o", form)
        assert people.exit == 24
        assert f"umi: {failure}: " in people.stderr


def test_verify_wants_an_anchor(desk: Desk) -> None:
    outcome = desk.umi("cert", "verify", "chain.cvc")
    assert outcome.exit == 2
    assert "hint: add --anchor FILE" in outcome.stderr


def test_an_anchor_is_one_certificate(desk: Desk) -> None:
    outcome = desk.umi("cert", "verify", "chain.cvc", "--anchor", "chain.cvc")
    assert outcome.exit == 22
    assert "holds 2 certificates" in outcome.stderr


def test_anchors_from_the_environment(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UMI_ANCHOR", f"{desk.file('meter.cvc')}:{desk.file('root.cvc')}")
    assert desk.umi("cert", "verify", "chain.cvc").exit == 0


def test_anchors_before_and_after_the_command(desk: Desk) -> None:
    words = ["--anchor", "root.cvc", "cert", "verify", "chain.cvc", "--anchor", "meter.cvc"]
    assert desk.umi(*words).exit == 0


def test_a_root_by_default(desk: Desk, tmp_path: Path) -> None:
    record = new(desk, tmp_path)
    assert set(record) == {"file", *RECORD}
    assert record["kind"] == "authority"
    assert record["self_signed"] is True
    assert record["targets"] == {"lowest": "0" * 16, "highest": "F" * 16}
    assert record["signing_roles"] == record["devolvable_roles"]
    assert "security-authority" in record["signing_roles"]["names"]
    assert len(record["serial"]) == 16
    assert int(record["valid_until"][:4]) - int(record["valid_from"][:4]) in (9, 10)


def test_a_root_as_the_options_say(desk: Desk, tmp_path: Path) -> None:
    options = "--signing-roles user,service --devolvable-roles none --serial 0a0b"
    options += " --target-min 0000000000000010 --target-max 0000000000000020"
    options += " --from 2026-01-01T01:00:00+01:00 --until 2027-01-01T00:00:00Z"
    record = new(desk, tmp_path, *options.split())
    assert record["signing_roles"]["names"] == ["user", "service"]
    assert record["devolvable_roles"]["names"] == []
    assert record["targets"] == {"lowest": "0000000000000010", "highest": "0000000000000020"}
    assert (record["valid_from"], record["valid_until"]) == (
        "2026-01-01T00:00:00Z",
        "2027-01-01T00:00:00Z",
    )
    assert record["serial"] == "0a0b"


def test_the_own_id_is_the_subject_by_default(desk: Desk, tmp_path: Path) -> None:
    words = ["cert", "new", f"{tmp_path}/new.cvc", "--key", "root.pem", "--umi-id", SUB, "--json"]
    assert desk.umi(*words).document["data"]["subject"] == SUB


def test_a_request_proves_the_key(desk: Desk, tmp_path: Path) -> None:
    words = f"cert request {tmp_path}/a.req --key office.pem --subject {OFFICE} --issuer {ROOT}"
    record = desk.umi(*words.split(), "--json").document["data"]
    request = CertificateRequest.decode((tmp_path / "a.req").read_bytes())
    request.verify()
    assert (record["subject"], record["issuer"]) == (OFFICE, ROOT)
    assert record["public_point"] == request.public_point.hex()
    shown = desk.umi("key", "show", "office.pem", "--json").document["data"]
    assert record["key_fingerprint"] == shown["fingerprint"]


def test_an_issued_certificate_by_default(desk: Desk, tmp_path: Path) -> None:
    data = issue(desk, tmp_path, "--role", "user").document["data"]
    authority = desk.umi("cert", "show", "sub.cvc", "--json").document["data"][0]
    assert data["role"] == {"number": 4, "name": "user"}
    assert data["targets"] == authority["targets"]
    assert data["valid_until"] == authority["valid_until"]  # as long, not longer
    assert data["signing_roles"] is None


def test_an_issued_certificate_as_the_options_say(desk: Desk, tmp_path: Path) -> None:
    options = ["--role", "user", "--days", "30", "--serial", "07"]
    options += ["--target-min", METER, "--target-max", METER]
    data = issue(desk, tmp_path, *options).document["data"]
    assert data["targets"] == {"lowest": METER, "highest": METER}
    assert data["serial"] == "07"


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        ([], 2, "no role is named"),
        (["--role", "user", "--signing-roles", "user"], 2, "only a signing authority"),
        (["--authority"], 2, "none is named"),
        (["--role", "user", "--days", "3", "--until", "2027-01-01T00:00:00Z"], 2, "exclude"),
        (["--role", "user", "--days", "0"], 2, "0"),
        (["--role", "user", "--until", "2027-01-01"], 2, "not a time with a zone"),
        (["--role", "user", "--until", "2001-01-01T00:00:00Z"], 2, "ends before it begins"),
        (["--role", "user", "--from", "9999-01-01T00:00:00Z", "--days", "999"], 2, "year 9999"),
        (["--role", "user", "--serial", "xyz"], 2, "not hex"),
        (["--role", "user", "--serial", "00" * 256], 2, "up to 255 bytes"),
        (["--role", "user", "--target-min", "9" * 16, "--target-max", "1" * 16], 2, "no device"),
        (["--role", "manufacturer"], 24, "role-exceeded: "),
        (["--role", "user", "--target-max", "F" * 16], 24, "range-exceeded: "),
        (["--role", "user", "--days", "9999"], 24, "expired: "),
        (["--role", "user", "--from", "2001-01-01T00:00:00Z"], 24, "not-yet-valid: "),
        (["--authority", "--signing-roles", "user"], 24, "authority-exceeded: "),
        (["--role", "user", "--key", "office.pem"], 24, "wrong-key: "),
        (["--role", "user", "--key", "service.key"], 22, "a P-256 key is needed"),
        (["--role", "user", "--key", "nosuch.pem"], 22, "names no file"),
        (
            ["--role", "user", "--issuer-cert", "root.cvc", "--key", "root.pem"],
            24,
            "unknown-issuer: ",
        ),
        (
            ["--role", "user", "--issuer-cert", "office.cvc", "--key", "office.pem"],
            24,
            "unknown-issuer: ",
        ),
        (["--role", "user", "--issuer-cert", "nosuch.cvc"], 22, "cannot read"),
        (["--role", "user", "--issuer-cert", "sub.req"], 22, "holds no certificate"),
    ],
    ids=str,
)
def test_what_is_not_issued(
    desk: Desk, tmp_path: Path, args: list[str], code: int, said: str
) -> None:
    outcome = issue(desk, tmp_path, *args)
    assert outcome.exit == code
    assert said in outcome.document["error"]["message"]
    assert not (tmp_path / "issued.cvc").exists()


def test_a_leaf_issues_nothing(desk: Desk, tmp_path: Path) -> None:
    desk.do(f"cert request {tmp_path}/a.req --key meter.pem --subject {METER} --issuer {OFFICE}")
    outcome = issue(desk, tmp_path, "--role", "user", ca="office", req=f"{tmp_path}/a.req")
    assert outcome.exit == 24
    assert outcome.document["error"]["message"].startswith("not-an-authority: ")


def test_a_request_that_proves_nothing(desk: Desk, tmp_path: Path) -> None:
    data = bytearray((desk.path / "office.req").read_bytes())
    data[data.index(bytes.fromhex(OFFICE)) + 7] ^= 1
    (tmp_path / "bad.req").write_bytes(data)
    outcome = issue(desk, tmp_path, "--role", "user", req=f"{tmp_path}/bad.req")
    assert outcome.exit == 33
    assert outcome.document["error"]["code"] == "bad-signature"


@pytest.mark.parametrize(("req", "code"), [("sub.cvc", 22), ("nosuch.req", 22)])
def test_what_is_no_request(desk: Desk, tmp_path: Path, req: str, code: int) -> None:
    assert issue(desk, tmp_path, "--role", "user", req=req).exit == code


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["new", "a.cvc", "--subject", ROOT], "no key is named"),
        (["new", "a.cvc", "--key", "root.pem"], "nobody is named"),
        (["request", "a.req", "--key", "root.pem", "--subject", ROOT], "--issuer"),
        (["request", "a.req", "--key", "root.pem", "--issuer", ROOT], "nobody is named"),
        (["new", "/nonexistent/a.cvc", "--key", "root.pem", "--subject", ROOT], "cannot write"),
        (["show"], "FILE"),
    ],
    ids=str,
)
def test_usage(desk: Desk, words: list[str], said: str) -> None:
    outcome = desk.umi("cert", *words)
    assert outcome.exit == 2
    assert outcome.stdout == ""
    assert said in outcome.stderr


def test_nothing_is_overwritten_silently(desk: Desk, tmp_path: Path) -> None:
    first = new(desk, tmp_path)
    again = ["cert", "new", f"{tmp_path}/new.cvc", "--key", "root.pem", "--subject", ROOT]
    for more in ([], ["--dry-run"]):
        refused = desk.umi(*again, *more)
        assert refused.exit == 2
        assert "this will replace" in refused.stderr
        assert (tmp_path / "new.cvc").read_bytes().hex() == first["raw"]
    assert desk.umi(*again, "--yes").exit == 0
    assert (tmp_path / "new.cvc").read_bytes().hex() != first["raw"]
    assert os.listdir(tmp_path) == ["new.cvc"]


def test_certificates_are_public(desk: Desk) -> None:
    assert stat.S_IMODE(os.stat(desk.file("root.cvc")).st_mode) == 0o644


def test_show_tells_every_field(desk: Desk) -> None:
    records = desk.umi("cert", "show", "chain.cvc", "root.cvc", "--json").document["data"]
    assert [record["subject"] for record in records] == [OFFICE, SUB, ROOT]
    assert all(set(record) == {"file", *RECORD} for record in records)
    assert {record["state"] for record in records} == {"valid"}
    assert [record["self_signed"] for record in records] == [False, False, True]
    people = desk.do("cert show office.cvc").stdout
    for name in RECORD - {"signature", "raw", "signing_roles", "devolvable_roles"}:
        assert f"\n{name.replace('_', ' ')} " in people
    raw = desk.do("cert show chain.cvc -o raw").stdout
    assert raw.replace("\n", "") == (desk.path / "chain.cvc").read_bytes().hex()
    assert len(desk.do("cert show chain.cvc -o csv").stdout.splitlines()) == 3


def test_a_file_may_hold_hex(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "a.hex").write_text((desk.path / "root.cvc").read_bytes().hex(" ") + "\n")
    shown = desk.umi("cert", "show", f"{tmp_path}/a.hex", "--json").document["data"]
    assert shown[0]["subject"] == ROOT


@pytest.mark.parametrize("name", ["office.req", "root.pem", "nosuch.cvc"])
def test_show_of_what_is_no_certificate(desk: Desk, name: str) -> None:
    outcome = desk.umi("cert", "show", name)
    assert outcome.exit == 22
    assert "\nhint: " in outcome.stderr


def test_a_certificate_out_of_its_time_is_shown_as_such(desk: Desk, tmp_path: Path) -> None:
    old = ["--from", "2001-01-01T00:00:00Z", "--days", "9"]
    assert new(desk, tmp_path, *old)["state"] == "expired"
    assert "expired" in desk.do(f"cert show {tmp_path}/new.cvc").stdout


def piped(desk: Desk, *args: str, input: bytes = b"") -> bytes:
    process = subprocess.run(
        [*UMI, *args],
        cwd=desk.path,
        input=input,
        env=environment(),
        capture_output=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert process.stderr == b""
    return process.stdout


def test_from_stdin_to_stdout(desk: Desk) -> None:
    words = ["--key", "office.pem", "--subject", OFFICE, "--issuer", ROOT]
    request = piped(desk, "cert", "request", "-", *words)
    CertificateRequest.decode(request)
    authority = ["--key", "root.pem", "--issuer-cert", "root.cvc", "--role", "user"]
    made = piped(desk, "cert", "issue", "-", "-", *authority, input=request)
    assert decode_chain(made)[0].body.issuer.value == int(ROOT, 16)
    assert b"trusted" in piped(desk, "cert", "verify", "-", "--anchor", "root.cvc", input=made)
    as_hex = piped(desk, "cert", "request", "-", *words, "-o", "raw")
    assert CertificateRequest.decode(bytes.fromhex(as_hex.decode()))


def test_bytes_do_not_go_to_a_terminal(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("umi_cli.output.streams.is_terminal", lambda stream: True)
    outcome = desk.umi(
        "cert", "request", "-", "--key", "sub.pem", "--subject", "1", "--issuer", "2"
    )
    assert outcome.exit == 2
    assert "-o raw" in outcome.stderr
