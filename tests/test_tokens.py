"""Keys in real tokens sign and agree as key files do; each failure has a sentence of its own."""

import shutil
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.softhsm import PIN, WRONG_PIN, Tokens, faulty, key, module, needed, seen, tokens_in
from umi_cli import crypto
from umi_cli.crypto import PrivateKey
from umi_cli.errors import KeyUnusableError, MalformedError
from umi_cli.security.token_uri import TokenUri
from umi_cli.tokens import TokenSigner, open_signer

ROOT, OTHER = (PrivateKey.from_scalar(crypto.sha256(name)) for name in (b"root", b"other"))
P384 = "06052b81040022"
# the base point of P-384: the public key of the private key 1
P384_POINT = (
    "046104aa87ca22be8b05378eb1c71ef320ad746e1d3b628ba79b9859f741e082542a385502f25dbf55296c3a545e38"
    "72760ab73617de4a96262c6f5d9e98bf9292dc29f8f41dbd289a147ce9da3113b5f0b8c00a60b1ce1d7e819d7a431d"
    "7c90ea0e5f"
)


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Tokens:
    needed()
    tokens = tokens_in(tmp_path_factory.mktemp("tokens"))
    tokens.add(
        "umi",
        key("root", ROOT),
        key("signs", derives=False),
        key("derives", signs=False),
        key("lonely", point=""),
        key("labelled", public_id="99"),
        key("mismatched", point="0441" + OTHER.public_point.hex()),
        key("raw", ROOT, point=ROOT.public_point.hex()),
        key("broken", point="0441" + "04" + "11" * 64),
        key("twin", id="f1"),
        key("twin", id="f2"),
        key("rsa", curve="rsa"),
        key("p384", curve=P384, scalar=f"{1:096x}", point=P384_POINT),
    )
    tokens.add("same")
    tokens.add("same")
    return tokens


@pytest.fixture(autouse=True)
def _seen(tokens: Tokens) -> Iterator[None]:
    with seen(tokens):
        yield


def opened(tokens: Tokens, name: str = "root", *, path: str = "", pin: str = PIN) -> TokenSigner:
    return open_signer(TokenUri.parse(tokens.uri(name, path=path)), lambda: pin)


def refusal(tokens: Tokens, name: str = "root", *, path: str = "", pin: str = PIN) -> str:
    """Return the sentence and the hint with which a key is refused."""
    with pytest.raises(KeyUnusableError) as caught:
        opened(tokens, name, path=path, pin=pin).close()
    assert caught.value.exit_code == 22
    assert caught.value.hint
    said = f"{caught.value} | {caught.value.hint}"
    assert pin not in said
    return said


# What a token does


@pytest.mark.parametrize(
    "name",
    [
        "root",
        "token=umi;id=%72oot",
        "token=umi;object=root;id=root;type=private",
        "token=umi;object=raw",
    ],
)
def test_a_token_signs_as_the_key_itself(tokens: Tokens, name: str) -> None:
    with opened(tokens, name) as signer:
        assert signer.public_point == ROOT.public_point
        for number in range(50):
            signature = signer.sign(b"data %d" % number)
            crypto.verify(ROOT.public_point, signature, b"data %d" % number)
        digest = crypto.sha256(b"data")
        crypto.verify_digest(ROOT.public_point, signer.sign_digest(digest), digest)


def peers() -> Iterator[tuple[PrivateKey, bytes]]:
    """Return peers with their Z, until one that begins with a zero."""
    for number in count(1):
        peer = PrivateKey.from_scalar(number.to_bytes(32, "big"))
        z = peer.exchange(ROOT.public_point)
        yield peer, z
        if not z[0]:
            return


def test_a_token_agrees_as_the_key_itself(tokens: Tokens) -> None:
    with opened(tokens) as signer:
        for peer, z in peers():
            assert signer.exchange(peer.public_point) == z


def test_what_is_no_point_does_not_reach_the_token(tokens: Tokens) -> None:
    with opened(tokens) as signer, pytest.raises(MalformedError):
        signer.exchange(b"\x04" + bytes(64))


def test_a_public_key_is_found_by_its_label(tokens: Tokens) -> None:
    with opened(tokens, "labelled") as signer:
        crypto.verify(signer.public_point, signer.sign(b"data"), b"data")


def test_nothing_is_shown(tokens: Tokens) -> None:
    with opened(tokens) as signer:
        assert repr(signer) == "<TokenSigner, redacted>"


def test_two_keys_of_one_token(tokens: Tokens) -> None:
    with opened(tokens) as one, opened(tokens, "signs") as other:
        assert one.public_point != other.public_point
        crypto.verify(other.public_point, other.sign(b"data"), b"data")
        crypto.verify(one.public_point, one.sign(b"data"), b"data")


# What is not there


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("token=nosuch", "no token fits the PKCS#11 URI | the module has '"),
        ("token=nosuch", "'umi' (serial "),
        ("token=umi;serial=00", "no token fits"),
        ("token=umi;slot-id=4294967295", "no token fits"),
        ("token=umi;model=x", "no token fits"),
        ("token=umi;manufacturer=x", "no token fits"),
        ("token=same", "several tokens fit the PKCS#11 URI: 'same' (serial "),
        (
            "nosuch",
            "the token 'umi' has no private key that fits the PKCS#11 URI | it has 'broken'",
        ),
        ("token=umi;object=root;id=%00", "has no private key"),
        ("twin", "the token 'umi' has several private keys that fit the PKCS#11 URI"),
        ("twin", "id=: %f1, %f2"),
        ("lonely", "has no public key beside the private key"),
        ("broken", "not on the curve P-256"),
        ("rsa", "not on the curve P-256"),
        ("p384", "not on the curve P-256"),
    ],
)
def test_what_is_not_there(tokens: Tokens, name: str, said: str) -> None:
    assert said in refusal(tokens, name)


def test_a_token_without_keys(tokens: Tokens) -> None:
    serials = refusal(tokens, "token=same").split("serial ")
    serial = serials[1].partition(")")[0]
    assert "it has none" in refusal(tokens, f"serial={serial}")


def test_no_tokens(tokens: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tokens_in(tmp_path / "empty")
    with seen(empty):
        assert "the module has none" in refusal(tokens)


def test_no_module(tokens: Tokens, tmp_path: Path) -> None:
    assert "cannot read the PKCS#11 module" in refusal(tokens, path="/nonexistent/lib.so")
    (tmp_path / "text.so").write_text("no library")
    assert "does not load" in refusal(tokens, path=f"{tmp_path}/text.so")


def test_a_module_that_does_not_start(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOFTHSM2_CONF", "/nonexistent/softhsm2.conf")
    assert "does not load" in refusal(tokens)


def test_no_package(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "pkcs11", None)
        with pytest.raises(KeyUnusableError, match="python-pkcs11") as caught:
            opened(tokens)
    assert "umi-cli[hsm]" in caught.value.hint


# What is refused


def test_a_wrong_pin(tokens: Tokens) -> None:
    for pin in (WRONG_PIN, "x", "x" * 500):
        said = refusal(tokens, pin=pin)
        assert said.startswith("the PIN of the token 'umi' is wrong")
    opened(tokens).close()


def test_keys_that_may_not(tokens: Tokens) -> None:
    peer = PrivateKey.generate().public_point
    with opened(tokens, "signs") as signer:
        signer.sign(b"data")
        with pytest.raises(KeyUnusableError, match="does not let this key agree on a session's"):
            signer.exchange(peer)
    with opened(tokens, "derives") as signer:
        signer.exchange(peer)
        with pytest.raises(KeyUnusableError, match="does not let this key sign"):
            signer.sign(b"data")


def test_a_public_key_that_is_not_the_private_keys_own(tokens: Tokens) -> None:
    with (
        opened(tokens, "mismatched") as signer,
        pytest.raises(KeyUnusableError, match="does not verify with the public key beside"),
    ):
        signer.sign(b"data")


def test_a_token_that_is_gone(tmp_path: Path) -> None:
    tokens = tokens_in(tmp_path / "tokens")
    tokens.add("umi", key("root"))
    with seen(tokens), opened(tokens) as signer:
        signer.sign(b"data")
        shutil.rmtree(tmp_path / "tokens" / "tokens")
        with pytest.raises(KeyUnusableError, match="'umi' is gone, or has ended the session"):
            signer.sign(b"data")


def test_a_session_that_was_closed(tokens: Tokens) -> None:
    signer = opened(tokens)
    signer.close()
    signer.close()
    with pytest.raises(KeyUnusableError, match="is gone, or has ended the session"):
        signer.sign(b"data")


@pytest.fixture
def fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a module whose faults `TOKEN_FAULT` chooses."""
    monkeypatch.setenv("TOKEN_MODULE", module())
    return faulty(tmp_path)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("a4", "the PIN of the token 'umi' is locked, after wrong ones | unlock it with the SO"),
        ("a3", "the PIN of the token 'umi' has expired"),
        ("a1", "the PIN of the token 'umi' is wrong"),
        ("102", "the token 'umi' has no PIN yet"),
        ("32", "the token 'umi' is gone"),
        ("e0", "the token 'umi' is gone"),
        ("5", "the token 'umi' does not log us in (GeneralError)"),
    ],
)
def test_a_log_in_that_fails(
    tokens: Tokens, fault: str, monkeypatch: pytest.MonkeyPatch, code: str, said: str
) -> None:
    monkeypatch.setenv("TOKEN_FAULT", f"login:{code}")
    assert said in refusal(tokens, path=fault)


def test_tokens_that_are_not_listed(
    tokens: Tokens, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN_FAULT", "tokens:30")
    assert "the PKCS#11 module does not list its tokens (DeviceError)" in refusal(
        tokens, path=fault
    )


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("32", "is gone, or has ended the session"),
        ("b3", "is gone, or has ended the session"),
        ("101", "wants its PIN before each use"),
        ("70", r"does not sign \(MechanismInvalid\)"),
        ("0", "does not verify with the public key beside"),
    ],
)
def test_a_signature_that_fails(
    tokens: Tokens, fault: str, monkeypatch: pytest.MonkeyPatch, code: str, said: str
) -> None:
    monkeypatch.setenv("TOKEN_FAULT", f"sign:{code}:1")
    with opened(tokens, path=fault) as signer:
        signer.sign(b"data")
        with pytest.raises(KeyUnusableError, match=said):
            signer.sign(b"data")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("70", r"does not agree on a session's key \(ECDH\) \(MechanismInvalid\)"),
        ("32", "gone"),
        ("0", "gives 16 bytes for a shared secret of 32"),
    ],
)
def test_an_agreement_that_fails(
    tokens: Tokens, fault: str, monkeypatch: pytest.MonkeyPatch, code: str, said: str
) -> None:
    monkeypatch.setenv("TOKEN_FAULT", f"derive:{code}")
    with (
        opened(tokens, path=fault) as signer,
        pytest.raises(KeyUnusableError, match=said),
    ):
        signer.exchange(OTHER.public_point)
