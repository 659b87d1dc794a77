"""Image packages, explained; and what is wrong with them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli.conftest import call_umi
from tests.explain.test_certificates import CATALOGUE, by_layer, failures, field
from tests.images.packages import built, product, sealed_to, sealed_with, signed
from umi_cli.errors import MalformedError
from umi_cli.explain.bytes import explain
from umi_cli.explain.images import explain_package

SMALL = built(b"image")
ALL = product(signed(SMALL), sealed_with(signed(SMALL)), SMALL)


def test_a_package_layer_by_layer() -> None:
    layers = explain(signed(), CATALOGUE)
    assert by_layer(layers) == ["image header", "signature record"]
    assert failures(layers) == []
    shown = {each.name: (each.value, each.meaning) for each in layers[0].fields}
    assert shown["kind"] == (1, "device")
    assert shown["flags"] == (1, "signed")
    assert shown["lowest target"] == ("00237EFE00000000", "")
    assert shown["version"] == ("1.5.0", "bugfix, minor, major")
    assert shown["not after"] == ("2026-11-23T10:00:00Z", "")
    assert shown["model"] == ("EISGMv0", "")
    assert field(layers, "role").meaning == "software-provider"
    assert "the hash that the header names" in layers[0].notes[0]


def test_an_encrypted_package() -> None:
    for package, n, key_id in ((sealed_to(signed()), 65, 0), (sealed_with(signed()), 0, 7)):
        [layer] = explain(package, CATALOGUE)
        assert layer.failures == []
        assert (field([layer], "n").value, field([layer], "transport key ID").value) == (n, key_id)
        assert field([layer], "flags").meaning == "signed, encrypted"
        assert ("C0" in [each.name for each in layer.fields]) == (n == 65)
        assert "is encrypted with all that follows" in layer.notes[0]


def test_a_product_has_offsets_throughout() -> None:
    layers = explain(signed(ALL), CATALOGUE)
    headers = [f"part {number}: image header" for number in (1, 2, 3)]
    record = "signature record"
    assert by_layer(layers) == ["image header", headers[0], record, headers[1], headers[2], record]
    assert failures(layers) == []
    for layer in layers:
        for each in layer.fields:
            assert signed(ALL)[each.offset : each.offset + len(each.raw)] == each.raw


@pytest.mark.parametrize(
    ("package", "said"),
    [
        (SMALL[:60], "image header is cut off"),
        (SMALL[:6] + b"\3" + SMALL[7:], "3 is not a valid ImageKind"),
        (SMALL[:7] + b"\x80" + SMALL[8:], "unknown flags 0x80, at offset 7"),
        (SMALL[:-1], "the image is cut off: 1 bytes are missing"),
        (SMALL + b"\0", "goes on after its end"),
        (SMALL[:-1] + b"X", "another hash than the header names"),
        (signed(SMALL)[:-1] + b"X", "bytes after the signature"),
        (ALL[:92] + b"X" + ALL[93:], "part 1: this is no image package"),
    ],
)
def test_what_is_wrong_is_named(package: bytes, said: str) -> None:
    [failure] = failures(explain(package, CATALOGUE))
    assert said in failure


@given(st.sampled_from([SMALL, signed(SMALL), ALL]), st.integers(0, 500), st.binary(max_size=4))
def test_whatever_is_spoilt_is_explained(package: bytes, offset: int, patch: bytes) -> None:
    spoilt = package[:offset] + patch
    assert explain_package(spoilt, 0)
    assert explain_package(spoilt + package[len(spoilt) :], 5)


def test_decode_finds_a_package(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "app.umi"
    path.write_bytes(SMALL)
    assert "model           EISGMv0" in call_umi(capsys, "decode", str(path)).stdout
    assert call_umi(capsys, "decode", str(path), "--as", "image", "--json").document["data"]
    path.write_bytes(SMALL[:-1])
    assert call_umi(capsys, "decode", str(path)).exit == 33
    assert call_umi(capsys, "decode", "00", "--as", "image").exit == 33
    with pytest.raises(MalformedError):
        explain(b"UMI2", CATALOGUE)
