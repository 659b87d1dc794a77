"""A factory line, as its workers run it: `umi provision` in processes, with units put in."""

import csv
import io
import random
import signal
import sqlite3
import threading
from collections.abc import Iterator, Sized
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli.conftest import TIME_LIMIT_S, run_umi, start_umi
from tests.cli.desk import Desk
from tests.provision.conftest import Place
from tests.provision.factory import HEAD_END, MAKER_ID, ROOT_ID, Factory, built
from tests.provision.jig import Jig, children_of, jigs, run_line
from tests.provision.server import Line, Server
from umi_cli.connecting import connect
from umi_cli.device.image_upload import read_running
from umi_cli.errors import RefusedError
from umi_cli.explain.pcapng import Interface, Packet, read_blocks


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Factory:
    """Return a factory whose keys and certificates are made once."""
    return built(tmp_path_factory.mktemp("factory"))


@pytest.fixture
def factory(laid_out: Factory, tmp_path: Path) -> Factory:
    """Return a factory with no unit yet."""
    for each in laid_out.path.iterdir():
        (tmp_path / each.name).write_bytes(each.read_bytes())
        (tmp_path / each.name).chmod(0o600)
    return Factory(Desk(tmp_path))


def units(factory: Factory, count: int) -> Iterator[Path]:
    """Return where blank units remember themselves."""
    return iter([factory.path / f"unit{number}.json" for number in range(count)])


def status(factory: Factory) -> list[dict[str, object]]:
    outcome = run_umi("provision", "status", "--journal", factory.journal, "--json")
    return list(outcome.document["data"])


def test_units_go_through_a_plan_on_two_stations_and_prove_themselves(factory: Factory) -> None:
    plan = factory.plan(4)
    line = units(factory, 4)
    with jigs(Jig(line), Jig(line, link=factory.path / "probe")) as places:
        told = run_line(plan, factory.journal, places)
    assert told.exit == 0, told.stderr
    assert told.result["data"] == {"done": 4, "failed": 0, "conflict": 0, "interrupted": 0}
    assert {unit["station"] for unit in told.units} == {each.address for each in places}
    assert {unit["serial"] for unit in told.units} == {f"1000000{n}" for n in range(4)}
    certificates = {unit["certificate"] for unit in told.units}
    found = set()
    for path in units(factory, 4):
        with factory.connect(f"sim:{path}") as meter:
            meter.session.begin()
            proved = meter.session.standing.device_certificate
            assert proved is not None
            found.add(proved.fingerprint.hex())
            assert str(meter.read("wan-configuration/primary_host").value) == HEAD_END
            assert str(meter.access("counter").read) == "all"
            assert meter.read("life-cycle").raw == b"\x02"
    assert found == certificates
    assert {each["status"] for each in status(factory)} == {"done"}


def test_each_station_writes_a_trace_of_its_own(factory: Factory, tmp_path: Path) -> None:
    """Two processes at one file would spoil it."""
    line = units(factory, 4)
    trace = tmp_path / "line.pcapng"
    with jigs(Jig(line), Jig(line)) as places:
        told = run_line(factory.plan(4), factory.journal, places, "--trace", str(trace))
    assert told.exit == 0, told.stderr
    assert not trace.exists()
    for number, place in enumerate(places, start=1):
        with (tmp_path / f"line-{number}.pcapng").open("rb") as file:
            blocks = list(read_blocks(file))
        names = {block.name for block in blocks if isinstance(block, Interface)}
        assert names <= {place.address, f"{place.address}/line"}
        assert sum(isinstance(block, Packet) for block in blocks) > 20


def packaged(factory: Factory, version: str, image: bytes) -> bytes:
    """Return an image in a package that the maker has signed."""
    desk = factory.desk
    for name in ("plain.umi", "signed.umi"):
        (factory.path / name).unlink(missing_ok=True)
    (factory.path / "firmware.bin").write_bytes(image)
    desk.do(
        f"image build firmware.bin plain.umi --model EISGMv0 --version {version}"
        " --target-min 00237EFE00000000 --target-max 00237EFE0001FFFF"
    )
    desk.do("image sign plain.umi --out signed.umi --key maker.pem --cert maker.cvc")
    return (factory.path / "signed.umi").read_bytes()


def test_every_unit_gets_the_image_that_was_read_with_the_plan(factory: Factory) -> None:
    """A build server puts another one of the same version in its place, and takes it away."""
    desk = factory.desk
    desk.do("key new maker.pem")
    desk.do(f"cert request maker.req --key maker.pem --subject {MAKER_ID} --issuer {ROOT_ID}")
    by_root = "--key root.pem --issuer-cert root.cvc --role software-provider"
    desk.do(f"cert issue maker.req maker.cvc {by_root}")
    image = bytes(range(256)) * 20
    first = packaged(factory, "1.5.0", image)
    with_image = '[trust]\ncertificates = ["maker.cvc"]\n\n[image]\nfile = "signed.umi"\n\n'
    plan = factory.plan(3, changes={"[[test]]": with_image + "[[test]]"})

    def rebuild(jig: Jig, event: dict[str, object]) -> None:
        if (factory.path / "signed.umi").exists():
            assert packaged(factory, "1.5.0", image[::-1]) != first
            (factory.path / "signed.umi").unlink()

    with jigs(Jig(units(factory, 3))) as places:
        told = run_line(plan, factory.journal, places, before_next=rebuild)
    assert told.exit == 0, told.stderr
    assert len(told.units) == 3
    for path in units(factory, 3):
        with factory.connect(f"sim:{path}") as meter:
            assert str(read_running(meter).version) == "1.5.0"
        slots = path.with_name(f"{path.name}.slots").read_bytes()
        assert image in slots
        assert image[::-1] not in slots


@pytest.mark.parametrize("order", [signal.SIGINT, signal.SIGTERM])
def test_stations_end_with_their_line_and_go_on_later(
    factory: Factory, order: signal.Signals
) -> None:
    plan, paths = factory.plan(4), list(units(factory, 4))
    with jigs(Jig(paths[:2]), Jig(paths[2:])) as places:
        stations = ",".join(each.address for each in places)
        words = ("--journal", factory.journal, "--stations", stations, "--wait", "2")
        with start_umi("--events", "provision", "run", plan, *words) as process:
            assert '"step"' in process.stdout.readline()
            children = children_of(process.pid)
            process.send_signal(order)
            process.communicate(timeout=TIME_LIMIT_S)
        assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[order]
        assert len(children) == 2
        assert not any(Path(f"/proc/{pid}").exists() for pid in children)
        told = run_line(plan, factory.journal, places, command="resume")
    assert told.exit == 0, told.stderr
    assert [each["status"] for each in status(factory)] == ["done"] * 4


@contextmanager
def cutting(line: Line, rng: random.Random, seen: Sized) -> Iterator[None]:
    """Cut a line to a database again and again, anywhere, once a unit has been seen."""
    over = threading.Event()

    def cut() -> None:
        while not over.wait(0.1):
            if seen:
                line.cut_at_random(rng)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(cut)
        try:
            yield
        finally:
            over.set()
        done.result()


@pytest.mark.parametrize("seed", [1, 2])
def test_two_stations_at_a_database_that_is_cut_off_and_restarts(
    factory: Factory, cut_place: Place, line: Line, server: Server, seed: int
) -> None:
    """No serial number twice, no record lost, and every unit whole."""
    count = 6
    paths = list(units(factory, count))
    feed = iter(paths)
    seen: list[object] = []

    def restart(jig: Jig, event: dict[str, object]) -> None:
        seen.append(event["unit"])
        if len(seen) == 2:
            server.restart()  # the other station is in the middle of a unit

    plan = factory.plan(count)
    with cutting(line, random.Random(seed), seen), jigs(Jig(feed), Jig(feed)) as places:
        told = run_line(plan, cut_place.url, places, before_next=restart)
    assert line.cuts, "nothing was cut: this run proves nothing"
    assert told.exit in (0, 50, 52, 53), told.stderr  # it may give up after some tries
    for _ in range(2):  # until whoever waited for a unit that another station had was given his
        with jigs(Jig(paths[::2]), Jig(paths[1::2])) as places:
            told = run_line(plan, cut_place.server_url, places, command="resume")
    told_of = run_umi("provision", "status", "--journal", cut_place.server_url, "--json")
    found = told_of.document["data"]
    assert {each["status"] for each in found} == {"done"}
    assert sorted(each["serial"] for each in found) == [f"1000000{n}" for n in range(count)]
    assert len({each["umi_id"] for each in found}) == count
    outcome = run_umi("provision", "verify", "--journal", cut_place.server_url)
    assert outcome.exit == 0, outcome.stderr
    for path in paths:
        with factory.connect(f"sim:{path}") as meter:
            meter.session.begin()
            assert meter.read("life-cycle").raw == b"\x02"


def test_a_unit_that_is_done_refuses_another_identity(factory: Factory) -> None:
    with jigs(Jig(units(factory, 1))) as places:
        assert run_line(factory.plan(1), factory.journal, places).exit == 0
    unit = f"sim:{factory.path / 'unit0.json'}"
    as_guest = ("-p", unit)
    as_maker = (
        *as_guest,
        *("--key", factory.desk.file("station.pem")),
        *("--cert", factory.desk.file("station.cvc")),
        *("--anchor", factory.desk.file("root.cvc")),
    )
    identity = ("write", "umi-id", "00237EFE00010099")
    unlock = ("write", "life-cycle", "provisioned")
    host = ("write", "wan-configuration/primary_host", "evil.example")
    for who, words in (
        (as_guest, identity),
        (as_guest, unlock),
        (as_guest, host),
        (as_maker, identity),
        (as_maker, unlock),
    ):
        outcome = run_umi(*who, *words, "--json")
        assert outcome.document["error"]["result"]["number"] == 9
    assert run_umi(*as_guest, "read", "umi-id").stdout == "00237EFE00010000\n"


def test_a_unit_takes_no_second_key_pair_and_no_second_chain(factory: Factory) -> None:
    from umi_cli.application.security_commands import (
        S2GenerateKeypair,
        S2InstallOwnCertificateChain,
    )
    from umi_cli.device.identity import fetch_certificate

    plan = factory.plan(1, changes={"lock = true": "lock = false"})
    with jigs(Jig(units(factory, 1))) as places:
        assert run_line(plan, factory.journal, places).exit == 0
    unit = f"sim:{factory.path / 'unit0.json'}"
    with factory.connect(unit) as meter:
        chain = fetch_certificate(meter).encode()
        with pytest.raises(RefusedError) as caught:
            meter.session.request(S2GenerateKeypair())
        assert caught.value.number == 132
        with pytest.raises(RefusedError) as caught:
            meter.session.request(S2InstallOwnCertificateChain(certificates=chain))
        assert caught.value.number == 133


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"umi-plan/1"', '"umi-plan/2"', "line 1: schema"),
        ("count = 1", "count = 0", "line 5: units.count"),
        ("count = 1", "number = 1", "units.count"),
        ('"10000000..10099999"', '"1000000x..10099999"', "line 9: identity.serials"),
        ('"10000000..10099999"', '"10099999..10000000"', "line 9: identity.serials"),
        ("00010000..", "00010000-", "line 8: identity.umi_ids"),
        ("0001FFFF", "00000001", "line 8: identity.umi_ids"),
        ('model = "EISGMv0"', 'model = "far too long a model"', "identity.serials"),
        ("wan-configuration/primary_host", "wan-config/primary", "line 24: write.object"),
        ('value = "he.example"', f'value = "{"x" * 99}"', "line 25: write.value"),
        ('object = "counter"', 'object = "contour"', "line 28: access.object"),
        ('read = ["all"]', 'read = ["everybody"]', "line 29: access.read"),
        ('object = "valve"', 'object = "valves"', "line 32: test.object"),
        ('equals = "open"', 'equals = "ajar"', "line 33: test.equals"),
        ("lock = true", "look = true", "line 36: end.look"),
        ("[end]", '[image]\nfile = "none.umi"\n\n[end]', "line 36: image.file"),
    ],
)
def test_a_fault_of_a_plan_is_named_before_anything_moves(
    factory: Factory, old: str, new: str, said: str
) -> None:
    plan = factory.plan(1, changes={old: new})
    unit = factory.path / "unit0.json"
    address = f"sim:{unit}?blank=yes"
    outcome = factory.desk.umi("-p", address, "provision", "run", plan, "--journal", "l.hex")
    assert outcome.exit == 2, outcome
    assert plan in outcome.stderr
    assert said in outcome.stderr
    assert not unit.exists()
    assert not (factory.path / "l.hex").exists()


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ('key = "root.pem"', 'key = "none.pem"', 22),
        ('key = "root.pem"', 'key = "station.pem"', 22),
        ('cert = "station.cvc"', 'cert = "none.cvc"', 22),
        ('cert = "station.cvc"', 'cert = "root.cvc"', 22),
    ],
)
def test_keys_and_certificates_are_looked_at_before_anything_moves(
    factory: Factory, old: str, new: str, code: int
) -> None:
    plan = factory.plan(1, changes={old: new})
    unit = factory.path / "unit0.json"
    words = ("provision", "run", plan, "--journal", factory.journal)
    assert run_umi("-p", f"sim:{unit}?blank=yes", *words).exit == code
    assert not unit.exists()
    assert not Path(factory.journal).exists()


def test_a_dry_run_moves_nothing(factory: Factory) -> None:
    unit = factory.path / "unit0.json"
    words = ("provision", "run", factory.plan(1), "--journal", factory.journal, "--dry-run")
    outcome = run_umi("-p", f"sim:{unit}?blank=yes", *words, "--json")
    assert outcome.document["data"] == {"plan": "G4, line 3", "units": 1, "valid": True}
    assert not unit.exists()
    assert not Path(factory.journal).exists()


def test_a_unit_that_is_done_is_not_taken_twice(factory: Factory) -> None:
    plan, unit = factory.plan(2), factory.path / "unit0.json"
    with jigs(Jig([unit])) as places:
        assert run_line(plan, factory.journal, places, wait_s=0.1).exit == 0
    head = run_umi("provision", "verify", "--journal", factory.journal, "--json").document["data"]
    with jigs(Jig([unit])) as places:
        told = run_line(plan, factory.journal, places, wait_s=0.1)
    assert told.exit == 51
    assert [each["outcome"] for each in told.units] == ["conflict"]
    again = run_umi("provision", "verify", "--journal", factory.journal, "--json").document["data"]
    assert again == head


def test_a_unit_that_fails_a_test_is_put_aside_until_it_is_released(factory: Factory) -> None:
    bad = factory.plan(2, changes={'equals = "open"': 'equals = "closed"'}, name="bad.toml")
    unit, other = factory.path / "unit0.json", factory.path / "unit1.json"
    with jigs(Jig([unit])) as places:
        told = run_line(bad, factory.journal, places, wait_s=0.1)
    assert told.exit == 50
    [record] = status(factory)
    assert record["status"] == "quarantined"
    assert "the test of umi.255.0.0.32 failed" in str(record["reason"])
    good = factory.plan(2)
    with jigs(Jig([unit, other])) as places:  # it is not let on, and the other one is
        told = run_line(good, factory.journal, places)
    assert told.exit == 53
    assert [each["outcome"] for each in told.units] == ["conflict", "done"]
    words = ("--journal", factory.journal, "--reason", "the valve was mended")
    released = run_umi("provision", "release", str(record["unit"]), *words, "--json")
    assert released.document["data"]["status"] == "open"
    with jigs(Jig([unit])) as places:
        told = run_line(good, factory.journal, places, command="resume")
    assert told.exit == 0
    assert [each["status"] for each in status(factory)] == ["done", "done"]
    assert [each["serial"] for each in status(factory)] == ["10000000", "10000001"]


def test_units_are_called_what_a_list_says(factory: Factory) -> None:
    rows = "serial,umi_id\n20000007,00237EFE00020007\n20000003,00237EFE00020003\n"
    (factory.path / "units.csv").write_text(rows)
    plan = factory.plan(units='csv = "units.csv"')
    with jigs(Jig(units(factory, 2))) as places:
        told = run_line(plan, factory.journal, places)
    assert told.exit == 0, told
    pairs = {(each["serial"], each["umi_id"]) for each in told.units}
    assert pairs == {("20000007", "00237EFE00020007"), ("20000003", "00237EFE00020003")}


@pytest.mark.parametrize(
    "rows",
    [
        "serial,colour\n20000007,red\n",
        "umi_id\n00237EFE00020007\n",
        "serial\n20000007\n20000007\n",
        "serial,umi_id\n20000007,\n",
        "serial,umi_id\n20000007,nobody\n",
        "serial\n2000000x\n",
        "serial\n20000007,00237EFE00020007\n",
        "",
        "serial\n",
    ],
)
def test_a_list_with_a_fault_is_refused(factory: Factory, rows: str) -> None:
    (factory.path / "units.csv").write_text(rows)
    plan = factory.plan(units='csv = "units.csv"')
    outcome = factory.desk.umi("provision", "run", plan, "--journal", "l.hex", "--dry-run")
    assert outcome.exit == 2, outcome
    assert "line 5: units.csv" in outcome.stderr


def test_a_journal_is_exported_and_verified(factory: Factory) -> None:
    with jigs(Jig(units(factory, 1))) as places:
        assert run_line(factory.plan(1), factory.journal, places).exit == 0
    where = ("--journal", factory.journal)
    entries = run_umi("provision", "export", *where, "--json").document["data"]
    table = run_umi("provision", "export", *where, "-o", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(table)))
    assert [row["step"] for row in rows] == [entry["step"] for entry in entries]
    assert entries[-1]["step"] == "@finish"
    found = run_umi("provision", "verify", *where, "--json").document["data"]
    assert found["head"] == f"{len(entries)}:{entries[-1]['digest']}"
    assert run_umi("provision", "verify", *where, "--head", found["head"]).exit == 0
    with sqlite3.connect(factory.journal) as db:
        db.execute("DROP TRIGGER umi_entries_no_UPDATE")
        db.execute("UPDATE umi_entries SET operator = 'nobody' WHERE number = 5")
    db.close()
    tampered = run_umi("provision", "verify", *where, "--json")
    assert tampered.exit == 52
    assert tampered.document["error"]["code"] == "journal-tampered"
    assert "entry 5 " in tampered.document["error"]["message"]


@pytest.mark.parametrize("command", ["status", "export", "verify"])
def test_a_journal_that_is_none_is_refused(factory: Factory, command: str) -> None:
    assert run_umi("provision", command, "--journal", factory.journal).exit == 52
    assert not Path(factory.journal).exists()
    foreign = factory.path / "foreign.db"
    foreign.write_text("no journal at all, whatever it is called")
    assert run_umi("provision", command, "--journal", str(foreign)).exit == 52


def test_nothing_moves_where_the_journal_is_none(factory: Factory) -> None:
    Path(factory.journal).write_text("no journal at all, whatever it is called")
    with jigs(Jig(units(factory, 1)), Jig(iter([]))) as places:
        told = run_line(factory.plan(1), factory.journal, places, wait_s=0.1)
        assert told.exit == 52
        with connect(places[0].address) as meter:
            assert str(meter.session.identify()) != ROOT_ID
            assert meter.read("life-cycle").raw == b"\x00"


def test_a_station_that_cannot_be_is_named_before_anything_moves(factory: Factory) -> None:
    unit = factory.path / "unit0.json"
    words = ("provision", "run", factory.plan(1), "--journal", factory.journal)
    outcome = run_umi(*words, "--stations", f"sim:{unit}?blank=yes,nowhere:0", "--json")
    assert outcome.exit == 2
    assert "nowhere:0" in outcome.document["error"]["message"]
    assert not unit.exists()


def test_a_station_that_ends_early_is_named(factory: Factory) -> None:
    unit = factory.path / "unit0.json"
    words = ("provision", "run", factory.plan(2), "--journal", factory.journal)
    stations = f"sim:{unit}?blank=yes,sim:?colour=red"
    outcome = run_umi(*words, "--stations", stations, "--wait", "0.1", "--json")
    assert outcome.exit == 50
    assert "sim:?colour=red (exit 2)" in outcome.document["error"]["message"]
