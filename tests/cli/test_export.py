"""`umi export`: a device in a file, what it refuses, faulty lines, and a link that is lost."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import call_umi
from tests.cli.desk import METER, Desk, laid
from umi_cli.objects.catalogue import Catalogue

AT = "time=2026-11-22T10:00:00Z"
SERVICE = f"sim:?as=service&{AT}"
TABLES = {"profile-table", "event-table", "scratch"}
OF_THE_RUN = ("moment", "clock_difference_s")  # what differs between two runs of the same
LOST = f"sim:?{AT}&fault=hangup:0.03&seed=4"  # lost after twelve objects


def exported(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    document = call_umi(capsys, *args, "--json").document["data"]
    assert document["schema"] == "umi-export/1"
    return dict(document)


def by_name(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in document["objects"]}


def test_every_object_of_the_datasheet_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    document = exported(capsys, "-p", SERVICE, "export")
    names = {definition.name for definition in Catalogue.load("ei4").objects}
    assert set(by_name(document)) == names - {"scheme-1-keys"}
    assert document["left_out"] == [
        {"part": "umi.255.0.0.16", "name": "scheme-1-keys", "why": "secret"}
    ]
    assert (document["complete"], document["stopped"], document["only"]) == (True, None, None)
    assert document["device"] == METER
    assert document["moment"] == "2026-11-22T10:00:00Z"
    assert document["clock_difference_s"] == 0
    assert document["identity"]["serial"] == "31733978"
    assert document["datasheet"]["name"] == "ei4"
    assert document["standing"] == {
        "scheme": 0,
        "role": "guest",
        "authenticated": False,
        "encrypted": False,
    }


def test_values_are_those_of_read(capsys: pytest.CaptureFixture[str]) -> None:
    objects = by_name(exported(capsys, "-p", SERVICE, "export"))
    for name in ("manufacturer-id", "profile-table", "wan-configuration", "valve"):
        [record] = call_umi(capsys, "-p", SERVICE, "read", name, "--json").document["data"]
        assert {key: objects[name][key] for key in record} == record
        assert objects[name]["error"] is None
    access = objects["valve"]["access"]
    assert access["write"]["names"] == ["service", "utility-supplier"]


def test_what_is_refused_is_there_with_the_reason(capsys: pytest.CaptureFixture[str]) -> None:
    objects = by_name(exported(capsys, "-p", f"sim:?{AT}", "export"))
    refused = objects["wan-configuration"]
    assert (refused["raw"], refused["value"]) == (None, None)
    assert (refused["error"]["number"], refused["error"]["name"]) == (9, "ACCESS_DENIED")
    assert all(each["access"] is None for each in objects.values()), "a guest may not ask"


def test_objects_that_a_device_does_not_have(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A datasheet may promise more than a device has; a meter in the field has no virtual bank."""
    sheet = tmp_path / "more.toml"
    sheet.write_text(
        'schema = "umi-datasheet/1"\nname = "more"\ntitle = "x"\nextends = "ei4"\n[[object]]\n'
        'code = "umi.1.1.7.7"\nname = "extra"\ntitle = "x"\nkind = "value"\ntype = "u8"\n'
    )
    document = exported(capsys, "-p", f"sim:?{AT}", "--datasheet", str(sheet), "export")
    extra = by_name(document)["extra"]
    assert (extra["error"]["number"], extra["error"]["name"]) == (4, "UNKNOWN_OBJECT")


def test_the_file_is_its_owners_alone_and_always_the_same(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    os.umask(0o022)
    path, again = tmp_path / "meter.json", tmp_path / "again.json"
    outcome = call_umi(capsys, "-p", SERVICE, "export", str(path))
    assert outcome.exit == 0
    assert "scheme-1-keys (secret)" in outcome.stdout
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert call_umi(capsys, "-p", SERVICE, "export", str(again)).exit == 0
    assert path.read_bytes() == again.read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["again.json", "meter.json"]
    printed = call_umi(capsys, "-p", SERVICE, "export", "-")
    assert printed.stdout.encode() == path.read_bytes()
    assert json.loads(printed.stdout) == exported(capsys, "-p", SERVICE, "export")


def test_a_line_for_each_object_and_each_element(capsys: pytest.CaptureFixture[str]) -> None:
    lines = call_umi(capsys, "-p", SERVICE, "export").stdout.splitlines()
    assert sum(line.startswith('{"part":"umi.1.1.0.0"') for line in lines) == 1
    assert sum(line.startswith('{"reading":') for line in lines) == 336


def test_a_summary_where_the_export_is_in_a_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = ("-p", f"sim:?{AT}", "export", str(tmp_path / "x.json"), "--json")
    data = call_umi(capsys, *words).document["data"]
    assert data["device"] == METER
    assert data["complete"] is True
    assert "wan-configuration" in [each["name"] for each in data["refused"]]
    assert data["objects"] + len(data["refused"]) == 19


def test_without_tables(capsys: pytest.CaptureFixture[str]) -> None:
    document = exported(capsys, "-p", SERVICE, "export", "--no-tables")
    assert not TABLES & set(by_name(document))
    assert {each["name"] for each in document["left_out"] if each["why"] == "table"} == TABLES


def test_only_some_parts(capsys: pytest.CaptureFixture[str]) -> None:
    parts = ("profile-table[0:2]", "manufacturer-id/serial", "umi.1.1.7.7", "scheme-1-keys")
    only = [word for part in parts for word in ("--only", part)]
    document = exported(capsys, "-p", SERVICE, "export", *only)
    assert document["only"] == [
        "umi.1.1.194.23[0:2]",
        "umi.1.1.0.0/3",
        "umi.1.1.7.7",
        "umi.255.0.0.16",
    ]
    assert [each["part"] for each in document["objects"]] == [
        "umi.1.1.0.0/3",
        "umi.1.1.7.7",
        "umi.1.1.194.23[0:2]",
    ]
    assert [each["shape"] for each in document["objects"]] == [
        "value",
        "value",
        "array-of-structures",
    ]
    assert document["certificates"] is None
    assert [each["why"] for each in document["left_out"]] == ["secret"]


@pytest.mark.parametrize("seed", range(4))
def test_a_faulty_line_changes_nothing(capsys: pytest.CaptureFixture[str], seed: int) -> None:
    clean = exported(capsys, "-p", SERVICE, "export")
    fault = "fault=drop:0.05,flip:0.05,duplicate:0.05,noise:0.05"
    faulty = exported(capsys, "-p", f"{SERVICE}&{fault}&seed={seed}", "export", "--retries", "9")
    for document in (clean, faulty):
        document["objects"] = [
            each for each in document["objects"] if each["name"] != "metrology-clock"
        ]
        for key in OF_THE_RUN:
            document.pop(key)
    assert faulty == clean


def test_a_link_that_is_lost_leaves_nothing_half_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "meter.json"
    outcome = call_umi(capsys, "-p", LOST, "export", str(path))
    assert outcome.exit == 17
    assert os.listdir(tmp_path) == []
    path.write_text("precious")
    assert call_umi(capsys, "-p", LOST, "export", str(path), "--yes").exit == 17
    assert path.read_text() == "precious"


def test_what_came_before_is_kept_if_asked_for(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "meter.json"
    outcome = call_umi(capsys, "-p", LOST, "export", str(path), "--partial")
    assert outcome.exit == 17, "kept, and yet not all"
    document = json.loads(path.read_text())
    assert document["complete"] is False
    assert document["stopped"]["code"] == "lost"
    codes = {each["error"]["code"] if each["error"] else None for each in document["objects"]}
    assert {None, "lost"} <= codes, "some came, and of the others it is said that they did not"
    assert len(document["objects"]) == 19
    printed = call_umi(capsys, "-p", LOST, "export", "--partial", "--json")
    assert printed.exit == 17
    assert json.loads(printed.stdout)["data"]["complete"] is False


def test_nobody_there(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ("-p", "sim:?fault=drop:1", "export", str(tmp_path / "x.json"), "--partial")
    assert call_umi(capsys, *words).exit == 14
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("place", ["none/x.json", "."])
def test_a_place_that_cannot_be_written_is_told_before_the_device_is_asked(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, place: str
) -> None:
    document = call_umi(
        capsys, "-p", "sim:?fault=drop:1", "export", str(tmp_path / place), "--yes", "--json"
    ).document
    assert document["error"]["exit"] == 2


def test_a_file_that_is_there_is_replaced_with_a_yes_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "meter.json"
    path.write_text("precious")
    assert call_umi(capsys, "-p", SERVICE, "export", str(path), "--no-input").exit == 2
    assert path.read_text() == "precious"
    assert call_umi(capsys, "-p", SERVICE, "export", str(path), "--yes").exit == 0
    assert path.read_text() != "precious"


@pytest.mark.parametrize("form", ["csv", "raw"])
def test_an_export_is_json(capsys: pytest.CaptureFixture[str], form: str) -> None:
    outcome = call_umi(capsys, "-p", SERVICE, "export", "-o", form)
    assert (outcome.exit, outcome.stdout) == (2, "")


def test_under_scheme_2_with_certificates_and_no_secret(tmp_path: Path) -> None:
    desk: Desk = laid(tmp_path)
    words = ["--key", "office.pem", "--cert", "chain.cvc", "--anchor", "root.cvc", "--json"]
    role_keys = f"&role-keys=service:{tmp_path}/service.key"
    outcome = desk.umi("-p", desk.meter + role_keys, *words, "export")
    document = outcome.document["data"]
    assert (document["standing"]["scheme"], document["standing"]["role"]) == (2, "service")
    assert document["standing"]["encrypted"] is True
    own = document["certificates"][0]
    assert own["subject"] == METER
    assert own["raw"] == (tmp_path / "meter.cvc").read_bytes().hex()
    assert [each["subject"] for each in document["certificates"]] == [METER, own["issuer"]]
    pem = (tmp_path / "service.key").read_text().splitlines()[1]
    assert pem not in outcome.stdout
    assert by_name(document)["valve"]["access"] is not None


def test_a_device_without_a_certificate_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    [own] = exported(capsys, "-p", SERVICE, "export")["certificates"]
    assert (own["subject"], own["error"]["name"]) == (METER, "NO_CERTIFICATE")


def test_progress_is_on_stderr(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("umi_cli.output.progress.SHORT_S", 0.0)  # as if it took longer
    outcome = call_umi(capsys, "-p", SERVICE, "export")
    assert "export 100%" in outcome.stderr
    assert "entries" in outcome.stderr
    assert outcome.stdout.startswith('{\n"schema":"umi-export/1",\n')
    assert outcome.stdout.endswith("}\n")
