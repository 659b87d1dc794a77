"""`umi image`: the whole way of a package on the desk, and every refusal with its exit code."""

import hashlib
import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import UMI, Outcome, environment, run_umi
from tests.cli.desk import METER, OFFICE, ROOT, Desk, laid
from tests.images import independent
from umi_cli.crypto import AesKey
from umi_cli.images.header import ImageHeader
from umi_cli.security.keys import load_key

IMAGE = bytes(range(256)) * 300
TARGETS = "--target-min 00237EFE00000000 --target-max 00237EFE0000FFFF"
LABEL = f"--model EISGMv0 --version 1.5.0 {TARGETS}"
BUILT = "--built 2026-11-22T10:00:00Z"
BY = "--cert maker.cvc --anchor root.cvc"
BY_ROLE = "--scheme 1 --role software-provider --key maker.key"
RECORD = {
    "kind",
    "model",
    "version",
    "slot",
    "targets",
    "built",
    "not_after",
    "image_bytes",
    "image_sha256",
    "signed",
    "encryption",
    "header",
}
CONTENTS = RECORD | {"length_bytes", "hash_matches", "signature", "parts"}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Return a desk with the packages of every kind; nothing on it is overwritten."""
    desk = laid(tmp_path_factory.mktemp("desk"))
    desk.do("key new maker.pem")
    desk.do("key new maker.key --type aes128")
    desk.do("key new transport.key --type aes128")
    desk.do(f"cert request maker.req --key maker.pem --subject 00237EFE000000B0 --issuer {ROOT}")
    by_root = "--key root.pem --issuer-cert root.cvc"
    desk.do(f"cert issue maker.req maker.cvc {by_root} --role software-provider")
    desk.do(f"cert issue maker.req narrow.cvc {by_root} --role software-provider --target-max 9")
    old = "--from 2020-01-01T00:00:00Z --days 9"
    desk.do("cert new old-root.cvc --key root.pem --from 2019-01-01T00:00:00Z --subject " + ROOT)
    desk.do(
        "cert issue maker.req old.cvc --key root.pem --issuer-cert old-root.cvc"
        f" --role software-provider {old}"
    )
    (desk.path / "firmware.bin").write_bytes(IMAGE)
    desk.do(f"image build firmware.bin app.umi {LABEL} {BUILT}")
    desk.do("image sign app.umi --out signed.umi --key maker.pem --cert maker.cvc")
    desk.do(f"image sign app.umi --out mac.umi {BY_ROLE}")
    desk.do("image encrypt signed.umi sealed.umi --to meter.cvc --anchor root.cvc")
    desk.do(
        "image encrypt mac.umi mac-sealed.umi --transport-key transport.key --transport-key-id 7"
    )
    desk.do(f"image build --product signed.umi sealed.umi all.umi {LABEL} {BUILT}")
    desk.do("image sign all.umi --out all-signed.umi --key maker.pem --cert maker.cvc")
    return desk


def spoil(desk: Desk, name: str, path: Path, change: Callable[[bytes], bytes]) -> str:
    """Write a changed package, and return where it is."""
    data = (desk.path / name).read_bytes()
    path.write_bytes(change(data))
    return str(path)


def key_of(desk: Desk, name: str) -> AesKey:
    key = load_key(desk.path / name)
    assert isinstance(key, AesKey)
    return key


# The whole way


def test_what_was_built_signed_and_encrypted(desk: Desk) -> None:
    signed = (desk.path / "signed.umi").read_bytes()
    assert independent.split(signed)["image"] == IMAGE
    chain = desk.umi("cert", "show", "maker.cvc", "--json").document["data"]
    assert independent.verify_ecdsa(signed, bytes.fromhex(chain[0]["public_point"])) == 8
    mac = (desk.path / "mac.umi").read_bytes()
    assert independent.verify_cmac(mac, key_of(desk, "maker.key").raw) == 8
    sealed = (desk.path / "mac-sealed.umi").read_bytes()
    assert independent.open_with(sealed, key_of(desk, "transport.key").raw) == mac
    assert stat.S_IMODE((desk.path / "sealed.umi").stat().st_mode) == 0o644


@pytest.mark.parametrize(
    "words",
    [
        f"signed.umi {BY} --target {METER} --model EISGMv0 --newer-than 1.4.2",
        f"signed.umi {BY} --role software-provider",
        f"signed.umi {BY} --scheme 2",
        f"mac.umi {BY_ROLE}",
        f"sealed.umi {BY} --decrypt-key meter.pem",
        f"mac-sealed.umi {BY_ROLE} --decrypt-key transport.key",
        f"all-signed.umi {BY} --target {METER}",
    ],
)
def test_a_good_package_is_verified(desk: Desk, words: str) -> None:
    outcome = desk.do(f"image verify {words}")
    assert outcome.stdout.startswith("valid at ")
    data = desk.umi("image", "verify", *words.split(), "--json").document["data"]
    assert (data["valid"], data["failure"]) == (True, None)
    assert set(data["package"]) == CONTENTS
    assert len(data["signer"]) == (0 if "mac" in words else 2)
    csv = desk.do(f"image verify {words} -o csv").stdout.splitlines()
    assert len(csv) == 2 + len(data["package"]["parts"])
    assert desk.do(f"image verify {words} -o raw").stdout.strip() == data["package"]["header"]


def test_a_chain_or_intermediates_lead_to_the_anchor(desk: Desk) -> None:
    by = "--key root.pem --issuer-cert root.cvc --authority --signing-roles software-provider"
    desk.do(f"cert request mid.req --key sub.pem --subject 00237EFE000000A5 --issuer {ROOT}")
    desk.do(f"cert issue mid.req mid.cvc {by}")
    desk.do(f"cert request leaf.req --key maker.pem --subject {OFFICE} --issuer 00237EFE000000A5")
    desk.do(
        "cert issue leaf.req leaf.cvc --key sub.pem --issuer-cert mid.cvc --role software-provider"
    )
    data = (desk.path / "leaf.cvc").read_bytes() + (desk.path / "mid.cvc").read_bytes()
    (desk.path / "long.cvc").write_bytes(data)
    desk.do("image verify signed.umi --cert long.cvc --anchor root.cvc")
    desk.do("image verify signed.umi --cert leaf.cvc --intermediate mid.cvc --anchor root.cvc")
    refused = desk.umi(
        "image", "verify", "signed.umi", "--cert", "leaf.cvc", "--anchor", "root.cvc"
    )
    assert refused.exit == 24


# Build


def test_the_same_options_make_the_same_bytes(desk: Desk, tmp_path: Path) -> None:
    first = (desk.path / "app.umi").read_bytes()
    desk.do(f"image build firmware.bin {tmp_path}/again.umi {LABEL} {BUILT}")
    assert (tmp_path / "again.umi").read_bytes() == first
    words = "image sign app.umi --key maker.pem --cert maker.cvc --out"
    desk.do(f"{words} {tmp_path}/signed.umi")
    assert (tmp_path / "signed.umi").read_bytes() == (desk.path / "signed.umi").read_bytes()


@pytest.mark.parametrize(
    ("epoch", "built"),
    [("1795341600", "2026-11-22T10:00:00Z"), ("946684801", "2000-01-01T00:00:01Z"), ("1", None)],
)
def test_the_build_system_says_when(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epoch: str, built: str | None
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    words = f"image build firmware.bin {tmp_path}/a.umi {LABEL}".split()
    assert desk.umi(*words, "--json").document["data"]["built"] == built


@pytest.mark.parametrize("epoch", ["soon", "-1", "5241652096", "9" * 5000, "\u0663"])
def test_a_build_time_that_is_none(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epoch: str
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    outcome = desk.umi(*f"image build firmware.bin {tmp_path}/a.umi {LABEL}".split())
    assert outcome.exit == 2
    assert "SOURCE_DATE_EPOCH" in outcome.stderr


def test_a_built_package_has_all_that_was_said(desk: Desk, tmp_path: Path) -> None:
    more = "--slot 3 --not-after 2027-01-01T00:00:00+01:00 --json"
    words = f"image build firmware.bin {tmp_path}/a.umi {LABEL} {BUILT} {more}"
    data = desk.umi(*words.split()).document["data"]
    assert set(data) == {"file", *RECORD}
    assert data["kind"] == {"number": 1, "name": "device"}
    assert (data["slot"], data["version"], data["model"]) == (3, "1.5.0", "EISGMv0")
    assert data["not_after"] == "2026-12-31T23:00:00Z"
    assert data["targets"] == {"lowest": "00237EFE00000000", "highest": "00237EFE0000FFFF"}
    assert data["image_sha256"] == hashlib.sha256(IMAGE).hexdigest()
    assert (tmp_path / "a.umi").read_bytes() == bytes.fromhex(data["header"]) + IMAGE


def test_a_product_warns_of_what_is_not_signed(desk: Desk, tmp_path: Path) -> None:
    words = f"image build --product app.umi signed.umi {tmp_path}/a.umi {LABEL} --json"
    document = desk.umi(*words.split()).document
    assert len(document["warnings"]) == 1
    assert document["data"]["kind"]["name"] == "product"
    found = independent.split((tmp_path / "a.umi").read_bytes())
    assert independent.parts(found["image"])[1] == (desk.path / "signed.umi").read_bytes()


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (f"firmware.bin {LABEL}", 2, "one image makes one package"),
        (f"firmware.bin app.umi new.umi {LABEL}", 2, "one image makes one package"),
        (f"--product new.umi {LABEL}", 2, "one image makes one package"),
        (f"nosuch.bin new.umi {LABEL}", 2, "cannot read"),
        (f"/ new.umi {LABEL}", 2, "cannot read /: Is a directory"),
        (f"firmware.bin /nonexistent/new.umi {LABEL}", 2, "cannot write /nonexistent/new.umi"),
        (f"/dev/null new.umi {LABEL}", 2, "the image is empty"),
        (f"firmware.bin new.umi --model x {TARGETS}", 2, "--version"),
        (f"firmware.bin new.umi --model x --version 1.5 {TARGETS}", 2, "is not a version"),
        (f"firmware.bin new.umi --model {'x' * 17} --version 1.5.0 {TARGETS}", 2, "16 printable"),
        ("firmware.bin new.umi --model x --version 1.5.0 --target-min 9 --target-max 1", 2,
         "no device is from"),
        (f"firmware.bin new.umi {LABEL} --not-after 2020-01-01T00:00:00Z", 2, "it was built"),
        (f"firmware.bin new.umi {LABEL} --built 1999-01-01T00:00:00Z", 2, "does not fit"),
        (f"firmware.bin new.umi {LABEL} --slot 256", 2, "256"),
        (f"--product firmware.bin new.umi {LABEL}", 40, "malformed: "),
        (f"--product signed.umi all.umi new.umi {LABEL}", 40, "product stands inside a product"),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_not_built(desk: Desk, words: str, code: int, said: str) -> None:
    outcome = desk.umi("image", "build", *words.split())
    assert outcome.exit == code
    assert said in outcome.stderr
    assert outcome.stdout == ""
    assert not (desk.path / "new.umi").exists()


# Show


def test_show_needs_no_key(desk: Desk) -> None:
    data = desk.umi("image", "show", "sealed.umi", "--json").document["data"]
    assert set(data) == {"file", *CONTENTS}
    assert data["encryption"]["to"] == "device"
    assert len(data["encryption"]["c0"]) == 130
    assert (data["hash_matches"], data["signature"], data["signed"]) == (None, None, True)
    data = desk.umi("image", "show", "mac-sealed.umi", "--json").document["data"]
    assert data["encryption"]["transport_key_id"] == 7
    data = desk.umi("image", "show", "signed.umi", "--json").document["data"]
    assert (data["hash_matches"], data["signature"]["scheme"]) == (True, 2)
    assert data["signature"]["role"] == {"number": 8, "name": "software-provider"}
    assert data["length_bytes"] == os.path.getsize(desk.file("signed.umi"))


def test_show_to_people(desk: Desk) -> None:
    shown = desk.do("image show all.umi").stdout
    assert "product" in shown
    assert "signed, encrypted" in shown
    assert "scheme 2, as software-provider; not verified" in desk.do("image show signed.umi").stdout
    assert "which alone can open it" in desk.do("image show sealed.umi").stdout
    assert "with transport key 7" in desk.do("image show mac-sealed.umi").stdout
    lines = desk.do("image show all.umi -o csv").stdout.splitlines()
    assert [line.split(",")[0] for line in lines] == ["part", "0", "1", "2"]
    header = bytes.fromhex(desk.do("image show all.umi -o raw").stdout)
    assert ImageHeader.decode(header).kind.name == "PRODUCT"


def test_show_of_a_damaged_image(desk: Desk, tmp_path: Path) -> None:
    path = spoil(desk, "signed.umi", tmp_path / "a.umi", lambda data: data[:88] + b"X" + data[89:])
    document = desk.umi("image", "show", path, "--json").document
    assert document["data"]["hash_matches"] is False
    assert "hash is another" in document["warnings"][0]
    assert "damaged" in desk.do(f"image show {path} -o csv").stdout


# Verify: what is refused


def cut(data: bytes) -> bytes:
    return data[:-1]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (f"signed.umi {BY} --target 1", 41, "wrong-target: "),
        (f"signed.umi {BY} --model other", 41, "wrong-model: "),
        (f"signed.umi {BY} --newer-than 1.5.0", 41, "not-newer: "),
        (f"app.umi {BY}", 40, "not-signed: "),
        (f"mac.umi {BY}", 40, "bad-signature: "),
        (f"signed.umi {BY_ROLE}", 40, "bad-signature: "),
        ("mac.umi --scheme 1 --role software-provider --key transport.key", 40, "bad-signature: "),
        ("mac.umi --scheme 1 --role manufacturer --key maker.key", 40, "wrong-role: "),
        (f"signed.umi {BY} --role manufacturer", 40, "wrong-role: "),
        (f"firmware.bin {BY}", 40, "malformed: "),
        (f"/dev/null {BY}", 40, "malformed: "),
        (f"sealed.umi {BY} --decrypt-key office.pem", 40, "bad-tag: "),
        (f"signed.umi {BY} --at 2020-01-01T00:00:00Z", 24, "not-yet-valid: "),
        ("signed.umi --cert office.cvc --anchor root.cvc", 40, "bad-signature: "),
        ("signed.umi --cert narrow.cvc --anchor root.cvc", 24, "wrong-target: "),
        ("signed.umi --cert old.cvc --anchor old-root.cvc", 24, "expired: "),
        ("signed.umi --cert maker.cvc --anchor meter.cvc", 24, "unknown-issuer: "),
    ],
    ids=str,
)
def test_what_is_refused_is_named(desk: Desk, words: str, code: int, said: str) -> None:
    document = desk.umi("image", "verify", *words.split(), "--json").document
    assert document["error"]["exit"] == code
    assert document["error"]["message"].startswith(said)
    assert document["data"]["valid"] is False
    failure = document["data"]["failure"]
    assert failure.removeprefix("signer-") == said.removesuffix(": ")
    assert failure.startswith("signer-") == (code == 24)
    shown = desk.umi("image", "verify", *words.split())
    assert shown.stdout == f"not to be installed: {failure}\n"
    assert len(desk.umi("image", "verify", *words.split(), "-o", "csv").stdout.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("signed.umi", cut, "wrong-length: "),
        ("signed.umi", lambda data: data + b"\0", "wrong-length: "),
        ("signed.umi", lambda data: data[:88] + b"X" + data[89:], "wrong-hash: "),
        ("signed.umi", lambda data: data[:27] + b"X" + data[28:], "bad-signature: "),
        ("signed.umi", lambda data: data[:-75] + bytes(75), "malformed: "),
        ("sealed.umi", lambda data: data[:-1] + bytes([data[-1] ^ 1]), "bad-tag: "),
        ("all-signed.umi", lambda data: data[:88] + b"\xff" + data[89:], "wrong-length: "),
    ],
)
def test_what_is_spoilt_is_refused(
    desk: Desk, tmp_path: Path, name: str, change: Callable[[bytes], bytes], said: str
) -> None:
    path = spoil(desk, name, tmp_path / "spoilt.umi", change)
    words = f"image verify {path} {BY} --decrypt-key meter.pem --json"
    document = desk.umi(*words.split()).document
    assert document["error"]["exit"] == 40
    assert document["error"]["message"].startswith(said)


def test_a_package_that_was_to_be_installed_sooner(desk: Desk, tmp_path: Path) -> None:
    desk.do(f"image build firmware.bin {tmp_path}/a.umi {LABEL} --not-after 2099-01-01T00:00:00Z")
    desk.do(f"image sign {tmp_path}/a.umi --out {tmp_path}/b.umi {BY_ROLE}")
    desk.do(f"image verify {tmp_path}/b.umi {BY_ROLE} --at 2099-01-01T00:00:00Z")
    words = f"image verify {tmp_path}/b.umi {BY_ROLE} --at 2099-01-01T00:00:01Z"
    outcome = desk.umi(*words.split())
    assert (outcome.exit, outcome.stdout) == (40, "not to be installed: not-after\n")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("signed.umi", 2, "none is named"),
        ("signed.umi --cert maker.cvc", 2, "nothing says who is to be trusted"),
        (f"signed.umi {BY} --scheme 0", 2, "under scheme 0 nothing is signed"),
        ("mac.umi --scheme 1 --key maker.key", 2, "none is named"),
        ("mac.umi --scheme 1 --role software-provider", 2, "no key is named"),
        ("mac.umi --scheme 1 --role software-provider --key maker.pem", 22, "needs an AES-128 key"),
        ("signed.umi --cert nosuch.cvc --anchor root.cvc", 22, "cannot read"),
        (f"nosuch.umi {BY}", 2, "cannot read"),
        (f"sealed.umi {BY}", 22, "is encrypted"),
        (f"sealed.umi {BY} --decrypt-key transport.key", 22, "to a device"),
        (f"mac-sealed.umi {BY_ROLE} --decrypt-key meter.pem", 22, "transport key 7"),
        (f"sealed.umi {BY} --decrypt-key nosuch.pem", 22, "names no file"),
    ],
    ids=str,
)
def test_what_cannot_be_verified(desk: Desk, words: str, code: int, said: str) -> None:
    outcome = desk.umi("image", "verify", *words.split())
    assert outcome.exit == code
    assert outcome.stdout == ""
    assert said in outcome.stderr
    assert "\nhint: " in outcome.stderr or code == 2


# Sign


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command is not here")
def test_a_key_that_is_elsewhere(desk: Desk, tmp_path: Path) -> None:
    tbs, signature = tmp_path / "app.tbs", tmp_path / "app.sig"
    words = f"image sign app.umi --tbs {tbs} --cert maker.cvc --json"
    data = desk.umi(*words.split()).document["data"]
    assert data["sha256"] == hashlib.sha256(tbs.read_bytes()).hexdigest()
    assert data["length_bytes"] == tbs.stat().st_size == 88 + len(IMAGE) + 3
    assert data["role"] == {"number": 8, "name": "software-provider"}
    openssl = ["openssl", "dgst", "-sha256", "-sign", desk.file("maker.pem")]
    subprocess.run([*openssl, "-out", str(signature), str(tbs)], check=True)
    attach = f"image sign app.umi --attach {signature} --out {tmp_path}/signed.umi"
    desk.do(f"{attach} --cert maker.cvc")
    desk.do(f"image verify {tmp_path}/signed.umi {BY}")
    signature.write_text(signature.read_bytes().hex())
    desk.do(f"{attach} --cert maker.cvc --yes")
    refused = desk.umi(*f"{attach}.new.umi --cert narrow.cvc".split())
    assert (refused.exit, "wrong-target: " in refused.stderr) == (24, True)
    refused = desk.umi(
        *f"{attach}.new.umi".replace("app.umi", "all.umi").split(), "--cert", "maker.cvc"
    )
    assert (refused.exit, "bad-signature: " in refused.stderr) == (40, True)
    assert sorted(os.listdir(tmp_path)) == ["app.sig", "app.tbs", "signed.umi"]


def test_a_role_will_do(desk: Desk, tmp_path: Path) -> None:
    words = f"image sign app.umi --out {tmp_path}/a.umi --key maker.pem --role software-provider"
    desk.do(words)
    assert (tmp_path / "a.umi").read_bytes() == (desk.path / "signed.umi").read_bytes()
    data = desk.umi(*f"{words} --json --yes".split()).document["data"]
    assert (data["signature_scheme"], data["role"]["number"]) == (2, 8)
    desk.do(f"image sign app.umi --tbs {tmp_path}/a.tbs --role manufacturer")
    assert (tmp_path / "a.tbs").read_bytes()[-1] == 6


def test_an_own_certificate_out_of_its_time(desk: Desk, tmp_path: Path) -> None:
    words = f"image sign app.umi --out {tmp_path}/a.umi --key maker.pem --cert old.cvc"
    assert "warning: the own certificate is out of its time" in desk.do(words).stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("app.umi --key maker.pem --cert maker.cvc", 2, "nothing says where it goes"),
        ("app.umi --tbs new.tbs --out new.umi --cert maker.cvc", 2, "--tbs writes no package"),
        ("app.umi --tbs new.tbs --attach x.sig --cert maker.cvc", 2, "--tbs writes no package"),
        ("app.umi --tbs new.tbs", 2, "in which role"),
        ("app.umi --tbs new.tbs --scheme 1 --role manufacturer", 2, "under scheme 1 only"),
        ("app.umi --tbs new.tbs --role service", 2, "signs no images"),
        ("app.umi --tbs new.tbs --cert office.cvc", 24, "wrong-role: "),
        ("app.umi --tbs new.tbs --cert narrow.cvc", 24, "wrong-target: "),
        ("app.umi --tbs new.tbs --cert maker.cvc --role manufacturer", 22, "is for the role"),
        ("signed.umi --tbs new.tbs --cert maker.cvc", 2, "signed already"),
        ("app.umi --out new.umi --key maker.pem", 2, "in which role"),
        ("app.umi --out new.umi --cert maker.cvc", 2, "no key is named"),
        ("app.umi --out new.umi --cert maker.cvc --key maker.pem --scheme 0", 2, "scheme 0"),
        ("app.umi --out new.umi --cert maker.cvc --key office.pem", 22, "is not the one"),
        ("app.umi --out new.umi --cert maker.cvc --key maker.key", 22, "a P-256 key is needed"),
        ("app.umi --out new.umi --cert office.cvc --key office.pem", 24, "wrong-role: "),
        ("app.umi --out new.umi --cert root.cvc --key root.pem", 24, "wrong-role: "),
        ("app.umi --out new.umi --cert narrow.cvc --key maker.pem", 24, "wrong-target: "),
        ("app.umi --out new.umi --scheme 1 --role user --key maker.key", 2, "signs no images"),
        ("app.umi --out new.umi --scheme 1 --key maker.key", 2, "none is named"),
        ("app.umi --out new.umi --attach root.cvc --role manufacturer", 2, "--cert FILE"),
        ("app.umi --out new.umi --attach nosuch.sig --cert maker.cvc", 2, "cannot read"),
        ("app.umi --out new.umi --attach root.cvc --cert maker.cvc", 40, "bad-signature: "),
        ("signed.umi --out new.umi --cert maker.cvc --key maker.pem", 2, "signed already"),
        ("sealed.umi --out new.umi --cert maker.cvc --key maker.pem", 2, "signed already"),
        ("firmware.bin --out new.umi --cert maker.cvc --key maker.pem", 40, "malformed: "),
        ("nosuch.umi --out new.umi --cert maker.cvc --key maker.pem", 2, "cannot read"),
    ],
    ids=str,
)
def test_what_is_not_signed(desk: Desk, words: str, code: int, said: str) -> None:
    outcome = desk.umi("image", "sign", *words.split())
    assert outcome.exit == code, outcome.stderr
    assert said in outcome.stderr
    assert outcome.stdout == ""
    assert not {"new.umi", "new.tbs"} & set(os.listdir(desk.path))


# Encrypt


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("signed.umi new.umi", 2, "for whom is it"),
        ("signed.umi new.umi --to meter.cvc --transport-key transport.key", 2, "for whom is it"),
        ("signed.umi new.umi --to meter.cvc --transport-key-id 7", 2, "go together"),
        ("signed.umi new.umi --transport-key transport.key", 2, "go together"),
        ("signed.umi new.umi --transport-key maker.pem --transport-key-id 7", 22, "P-256 key"),
        ("signed.umi new.umi --transport-key nosuch.key --transport-key-id 7", 22, "names no file"),
        ("signed.umi new.umi --to root.cvc", 22, "a signing authority's"),
        ("signed.umi new.umi --to nosuch.cvc", 22, "cannot read"),
        ("signed.umi new.umi --to meter.req", 22, "holds no certificate"),
        ("signed.umi new.umi --to meter.cvc --anchor office.cvc", 24, "unknown-issuer: "),
        ("app.umi new.umi --to meter.cvc", 2, "not signed"),
        ("sealed.umi new.umi --to meter.cvc", 2, "encrypted already"),
        ("firmware.bin new.umi --to meter.cvc", 40, "malformed: "),
    ],
    ids=str,
)
def test_what_is_not_encrypted(desk: Desk, words: str, code: int, said: str) -> None:
    outcome = desk.umi("image", "encrypt", *words.split())
    assert outcome.exit == code, outcome.stderr
    assert said in outcome.stderr
    assert outcome.stdout == ""
    assert not (desk.path / "new.umi").exists()


def test_encryption_warns_of_strangers(desk: Desk, tmp_path: Path) -> None:
    label = LABEL.replace("--target-max 00237EFE0000FFFF", "--target-max 00237EFE00000000")
    desk.do(f"image build firmware.bin {tmp_path}/a.umi {label}")
    desk.do(f"image sign {tmp_path}/a.umi --out {tmp_path}/b.umi {BY_ROLE}")
    words = f"image encrypt {tmp_path}/b.umi {tmp_path}/c.umi --to meter.cvc"
    warnings = desk.umi(*words.split(), "--json").document["warnings"]
    assert "nobody vouches for the certificate" in warnings[0]
    assert f"{METER} is not among them" in warnings[1]


def test_no_two_encryptions_are_alike(desk: Desk, tmp_path: Path) -> None:
    nonces = set()
    for number in range(3):
        words = f"image encrypt mac.umi {tmp_path}/{number}.umi --transport-key transport.key"
        data = desk.umi(*f"{words} --transport-key-id 7 --json".split()).document["data"]
        nonces.add(data["encryption"]["nonce"])
    assert len(nonces) == 3


# Files and streams

WRITERS = {
    "build": f"image build firmware.bin {{out}} {LABEL}",
    "sign": "image sign app.umi --out {out} --key maker.pem --cert maker.cvc",
    "tbs": "image sign app.umi --tbs {out} --cert maker.cvc",
    "encrypt": "image encrypt signed.umi {out} --to meter.cvc --anchor root.cvc",
}


def written(desk: Desk, which: str, out: Path, *more: str) -> Outcome:
    return desk.umi(*WRITERS[which].format(out=out).split(), *more)


@pytest.mark.parametrize("which", WRITERS)
def test_nothing_is_overwritten_silently(desk: Desk, tmp_path: Path, which: str) -> None:
    out = tmp_path / "out.umi"
    out.write_bytes(b"old")
    refused = written(desk, which, out)
    assert refused.exit == 2
    assert f"this will replace {out}" in refused.stderr
    assert out.read_bytes() == b"old"
    assert written(desk, which, out, "--yes").exit == 0
    assert out.read_bytes()[:4] == b"UMI1"
    assert os.listdir(tmp_path) == ["out.umi"]


@pytest.mark.parametrize("which", WRITERS)
def test_a_dry_run_writes_nothing(desk: Desk, tmp_path: Path, which: str) -> None:
    out = tmp_path / "out.umi"
    outcome = written(desk, which, out, "--dry-run")
    assert outcome.exit == 0
    assert "nothing was written" in outcome.stderr
    assert os.listdir(tmp_path) == []
    out.write_bytes(b"old")
    assert written(desk, which, out, "--dry-run").exit == 0
    assert out.read_bytes() == b"old"
    assert desk.umi(*WRITERS[which].format(out="-").split(), "--dry-run").stdout == ""


@pytest.mark.parametrize("which", WRITERS)
def test_a_full_disk_leaves_nothing(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    outcome = written(desk, which, tmp_path / "out.umi")
    assert outcome.exit == 2
    assert "No space left on device" in outcome.stderr
    assert os.listdir(tmp_path) == []


def test_a_damaged_package_leaves_nothing(desk: Desk, tmp_path: Path) -> None:
    spoil(desk, "app.umi", tmp_path / "cut.umi", cut)
    words = f"image sign {tmp_path}/cut.umi --out {tmp_path}/a.umi --key maker.pem --cert maker.cvc"
    assert desk.umi(*words.split()).exit == 40
    assert os.listdir(tmp_path) == ["cut.umi"]


def test_a_package_may_be_signed_in_its_place(desk: Desk, tmp_path: Path) -> None:
    shutil.copy(desk.file("app.umi"), tmp_path / "a.umi")
    words = (
        f"image sign {tmp_path}/a.umi --out {tmp_path}/a.umi --key maker.pem --cert maker.cvc -y"
    )
    desk.do(words)
    assert (tmp_path / "a.umi").read_bytes() == (desk.path / "signed.umi").read_bytes()


def piped(desk: Desk, line: str, input: bytes = b"") -> Any:
    return subprocess.run(
        [*UMI, *line.split()],
        cwd=desk.path,
        input=input,
        env=environment(),
        capture_output=True,
        check=False,
    )


def test_from_stdin_to_stdout(desk: Desk) -> None:
    built = piped(desk, f"image build - - {LABEL} {BUILT}", IMAGE)
    assert (built.returncode, built.stderr) == (0, b"")
    assert built.stdout == (desk.path / "app.umi").read_bytes()
    signed = piped(desk, "image sign - --out - --key maker.pem --cert maker.cvc", built.stdout)
    assert signed.stdout == (desk.path / "signed.umi").read_bytes()
    tbs = piped(desk, "image sign - --tbs - --cert maker.cvc", built.stdout)
    assert tbs.stdout == independent.signed_bytes(signed.stdout)
    assert hashlib.sha256(tbs.stdout).hexdigest().encode() in tbs.stderr
    sealed = piped(desk, "image encrypt - - --to meter.cvc --anchor root.cvc", signed.stdout)
    assert b"which alone can open it" in piped(desk, "image show -", sealed.stdout).stdout
    verified = piped(desk, f"image verify - {BY} --decrypt-key meter.pem", sealed.stdout)
    assert verified.stdout.startswith(b"valid at ")
    damaged = piped(
        desk, "image sign - --out - --key maker.pem --cert maker.cvc", built.stdout[:-1]
    )
    assert (damaged.returncode, damaged.stdout) == (40, b"")
    product = piped(desk, f"image build --product - - {LABEL}", signed.stdout)
    assert (product.returncode, product.stdout) == (2, b"")
    assert b"cannot read -" in product.stderr


def test_a_package_does_not_go_to_a_terminal(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("umi_cli.output.streams.is_terminal", lambda stream: True)
    outcome = desk.umi(*f"image build firmware.bin - {LABEL}".split())
    assert (outcome.exit, "not for a terminal" in outcome.stderr) == (2, True)


@pytest.mark.parametrize("form", ["--json", "--events", "-o csv", "-o raw"])
def test_a_document_and_a_package_do_not_share_stdout(desk: Desk, form: str) -> None:
    outcome = desk.umi(*f"image build firmware.bin - {LABEL} {form}".split())
    assert outcome.exit == 2
    assert "UMI1" not in outcome.stdout


def test_a_reader_that_has_gone(desk: Desk) -> None:
    line = " ".join([*UMI, *f"image build firmware.bin - {LABEL}".split()])
    process = subprocess.run(
        ["bash", "-c", f"{line} | true; exit ${{PIPESTATUS[0]}}"],
        cwd=desk.path,
        env=environment(),
        capture_output=True,
        check=False,
    )
    assert process.returncode in (0, 141)  # 0 if all of it went into the pipe
    assert process.stderr == b""


def test_a_closed_stdin(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    outcome = desk.umi("image", "show", "-")
    assert (outcome.exit, "stdin is closed" in outcome.stderr) == (2, True)


def test_usage() -> None:
    outcome = run_umi("image")
    assert (outcome.exit, outcome.stdout) == (2, "")
    assert "no command given" in outcome.stderr
