"""`umi image upload` as users run it: sent, refused before a byte leaves, stopped, gone on with."""

import json
import os
import re
import shlex
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from struct import Struct
from typing import Any

import pytest

from tests.cli.conftest import TIME_LIMIT_S, Outcome, run_umi, start_umi
from tests.cli.desk import METER, ROOT, Desk, laid
from tests.cli.test_optical import AWAKE, serving
from tests.images.packages import signed
from umi_cli.cli.image_upload import state_directory
from umi_cli.crypto import PrivateKey
from umi_cli.device.upload_journal import learned_block_bytes
from umi_cli.security.keys import load_key
from umi_cli.types import Role

IMAGE = bytes(range(256)) * 320
SHORT_IMAGE = IMAGE[:2000]
BLOCK_BYTES = 16_294  # what fits 67 fragments
TARGETS = "--target-min 00237EFE00000000 --target-max 00237EFE0000FFFF"
LABEL = f"--model EISGMv0 --version 1.5.0 {TARGETS}"
OPEN = "--key office.pem --cert chain.cvc --anchor root.cvc"
SCHEME_1 = "--scheme 1 --role service --key service.key"
BY_MAKER = "--signer maker.cvc --anchor root.cvc"
PROVIDER = "as=software-provider"
STARTED, COMPLETED, FAILED, REJECTED = 0, 1, 2, 3
OLD, NEW = "1.4.2", "1.5.0"
_U32 = Struct("<I")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Return a desk with packages of every kind, and the state of a meter that knows the maker."""
    desk = laid(tmp_path_factory.mktemp("desk"))
    desk.do("key new maker.pem")
    for name in ("maker.key", "transport.key", "other.key"):
        desk.do(f"key new {name} --type aes128")
    desk.do(f"cert request maker.req --key maker.pem --subject 00237EFE000000B0 --issuer {ROOT}")
    by_root = "--key root.pem --issuer-cert root.cvc"
    desk.do(f"cert issue maker.req maker.cvc {by_root} --role software-provider")
    desk.do("key new other.pem")
    desk.do(f"cert new other-root.cvc --key other.pem --subject {ROOT}")
    (desk.path / "firmware.bin").write_bytes(IMAGE)
    (desk.path / "short.bin").write_bytes(SHORT_IMAGE)
    make(desk, "signed.umi", LABEL)
    make(desk, "short.umi", LABEL, image="short.bin")
    make(desk, "newer.umi", LABEL.replace(NEW, "1.5.1"))
    make(desk, "same.umi", LABEL.replace(NEW, OLD))
    make(desk, "older.umi", LABEL.replace(NEW, "1.4.1"))
    make(desk, "target.umi", "--model EISGMv0 --version 1.5.0 --target-min 1 --target-max 9")
    make(desk, "same-target.umi", "--model EISGMv0 --version 1.4.2 --target-min 1 --target-max 9")
    make(desk, "model.umi", LABEL.replace("EISGMv0", "EISGMv1"))
    make(desk, "late.umi", f"{LABEL} --built 2020-01-01T00:00:00Z --not-after 2020-01-02T00:00:00Z")
    make(desk, "dated.umi", f"{LABEL} --not-after 2099-01-01T00:00:00Z")
    mac = "--scheme 1 --role software-provider --key maker.key"
    desk.do(f"image sign signed-plain.umi --out mac.umi {mac}")
    desk.do("image encrypt signed.umi sealed.umi --to meter.cvc --anchor root.cvc")
    for name, key_id in (("transport", 7), ("other", 8)):
        words = f"--transport-key {name}.key --transport-key-id {key_id}"
        desk.do(f"image encrypt signed.umi {name}.umi {words}")
    house = LABEL.replace("EISGMv0", "House").replace(NEW, "0.0.1")
    desk.do(f"image build --product model.umi signed.umi all-plain.umi {house}")
    sign(desk, "all-plain.umi", "all.umi")
    desk.do(f"-p {known(desk)} --key maker.pem --cert maker.cvc --anchor root.cvc auth")
    desk.do(f"-p {known(desk)} {OPEN} auth")
    return desk


def make(desk: Desk, name: str, label: str, image: str = "firmware.bin") -> None:
    """Build a package, and have the maker sign it."""
    plain = name.replace(".umi", "-plain.umi")
    desk.do(f"image build {image} {plain} {label}")
    sign(desk, plain, name)


def sign(desk: Desk, plain: str, out: str) -> None:
    desk.do(f"image sign {plain} --out {out} --key maker.pem --cert maker.cvc")


def known(desk: Desk) -> str:
    """Return the address of the meter with its keys; its state lies on the desk."""
    keys = ",".join(
        f"{role}:{desk.file(name)}"
        for role, name in {"service": "service.key", "software-provider": "maker.key"}.items()
    )
    return desk.meter.replace("sim:", f"sim:{desk.file('state.json')}") + f"&role-keys={keys}"


@dataclass(frozen=True, slots=True)
class Site:
    """A meter in its cupboard, and a laptop that keeps how far its uploads are."""

    desk: Desk
    path: Path

    @property
    def env(self) -> dict[str, str]:
        return {"XDG_STATE_HOME": str(self.path / "kept")}

    @property
    def uploads(self) -> Path:
        """Return where uploads are kept."""
        return state_directory(self.env)

    def meter(self, query: str = "") -> str:
        """Return the address of the meter."""
        return f"sim:{self.path}/state.json" + (f"?{query}" if query else "")

    def words(self, line: str, at: str | None = None) -> list[str]:
        """Return the words that upload what stands first in a line, under the options after it."""
        words = ["-p", at or self.meter(), "image", "upload", *line.split()]
        return [self.desk.placed(word) for word in words]

    def upload(self, line: str, at: str | None = None) -> Outcome:
        return run_umi(*self.words(line, at), env=self.env)

    def start(self, line: str, at: str | None = None) -> Any:
        """Start an upload, and return its process in the middle: it waits for us to read on."""
        process = start_umi("-v", *self.words(line, at), env=self.env)
        while not process.stderr.readline().startswith("upload "):
            assert process.poll() is None
        return process

    def read(self, part: str, at: str | None = None) -> Any:
        """Return what the meter says to `umi read`."""
        return self.desk.umi("-p", at or self.meter(), "read", part, "--json").document["data"][0]

    def running(self, at: str | None = None) -> str:
        version = self.read("active-software-version", at)["value"]
        return ".".join(str(version[name]) for name in ("major", "minor", "bugfix"))

    def upgrades(self, at: str | None = None) -> list[int]:
        """Return the reason of each software upgrade in the meter's log."""
        log = self.read("event-table", at)["value"]
        return [int(each["data"][:2], 16) for each in log if each["event"]["number"] == 2]

    def check_untouched(self) -> None:
        """Make sure that no transfer was ever begun."""
        assert not (self.path / "state.json.slots").exists()
        assert self.upgrades() == []
        assert self.running() == OLD


@pytest.fixture
def site(desk: Desk, tmp_path: Path) -> Site:
    shutil.copy(desk.file("state.json"), tmp_path)
    return Site(desk, tmp_path)


@pytest.fixture
def served(site: Site) -> Iterator[str]:
    """Return the address of the meter as it is served on TCP."""
    with serving("--tcp", "127.0.0.1:0", "--state", str(site.path / "state.json")) as (
        _,
        [address],
    ):
        yield address


def spoilt(site: Site, name: str, change: Callable[[bytes], bytes]) -> str:
    """Write a changed package, and return where it is."""
    path = site.path / "spoilt.umi"
    path.write_bytes(change((site.desk.path / name).read_bytes()))
    return str(path)


def is_nothing_left(site: Site) -> bool:
    """Tell whether no upload is kept."""
    return not list(site.uploads.glob(f"{METER}-*"))


# Sent


@pytest.mark.parametrize(
    ("line", "query"),
    [
        (f"signed.umi {BY_MAKER} {OPEN}", ""),
        (f"sealed.umi {OPEN}", ""),
        (f"sealed.umi {BY_MAKER} {OPEN} --decrypt-key meter.pem", ""),
        (f"transport.umi {OPEN}", "transport-keys=7:{d}/transport.key"),
        (f"mac.umi --signer-key maker.key {SCHEME_1}", ""),
        (f"mac.umi --signer-key maker.key {OPEN}", ""),
        (f"signed.umi {BY_MAKER}", PROVIDER),
        (f"all.umi {BY_MAKER} {OPEN}", ""),
    ],
    ids=str,
)
def test_an_image_is_sent_and_runs(site: Site, line: str, query: str) -> None:
    outcome = site.upload(line, site.meter(query.format(d=site.desk.path)))
    assert outcome.exit == 0, outcome.stderr
    shown = dict(re.split(r"  +", row) for row in outcome.stdout.splitlines())
    assert shown == {
        "package": "House 0.0.1" if line.startswith("all.umi") else f"EISGMv0 {NEW}",
        "before": OLD,
        "accepted": "yes",
        "activated": "yes",
        "running version": NEW,
    }
    is_opened = "--signer" in line
    assert ("hash and signature are the device's to check" in outcome.stderr) == (not is_opened)
    assert site.running() == NEW
    assert site.upgrades() == [STARTED, COMPLETED]
    assert is_nothing_left(site)


def test_three_facts_are_told_apart_in_one_document(site: Site, served: str) -> None:
    data = site.upload(f"signed.umi {BY_MAKER} {OPEN} --json", served).document["data"]
    assert (data["before"], data["accepted"], data["activated"]) == (OLD, True, True)
    assert (data["running"], data["slot"]) == (NEW, 1)
    assert (data["resumed_at"], data["starts"], data["repeats"]) == (None, 1, 0)
    assert data["block_bytes"] == BLOCK_BYTES
    assert data["package"]["version"] == NEW
    assert site.running(served) == NEW


def test_an_image_goes_over_an_optical_line(site: Site) -> None:
    words = ["--pty", str(site.path / "probe"), "--opto", "no-wakeup,baud:19200"]
    words += ["--state", str(site.path / "state.json"), "--as", "software-provider"]
    with serving(*words) as (_, [address]):
        data = site.upload(f"short.umi {BY_MAKER} --json", address + AWAKE).document["data"]
    assert (data["accepted"], data["activated"], data["running"]) == (True, True, NEW)


def test_progress_comes_in_lines_off_a_terminal(site: Site) -> None:
    line = f"signed.umi {BY_MAKER} {OPEN} --block 5000"
    lines = site.upload(line).stderr.splitlines()
    assert len(lines) >= 10  # one each 10 %, and one more wherever 10 s have passed
    assert all(re.fullmatch(r"upload \d+% \d+ B/s, \d+:\d\d left", line) for line in lines)
    assert lines[-1].startswith("upload 100% ")


def test_progress_comes_in_events(site: Site) -> None:
    outcome = site.upload(f"signed.umi {BY_MAKER} {OPEN} --events")
    *progress, result = outcome.events
    length = os.path.getsize(site.desk.file("signed.umi"))
    assert {event["type"] for event in progress} == {"progress"}
    assert {(event["label"], event["unit"], event["total"]) for event in progress} == {
        ("upload", "B", length)
    }
    done = [event["done"] for event in progress]
    assert (done[0], done[-1]) == (0, length)
    assert done == sorted(set(done))
    assert result["data"]["running"] == NEW


def test_a_version_that_runs_already_is_not_sent_again(site: Site) -> None:
    outcome = site.upload(f"same.umi {BY_MAKER} {OPEN}")
    assert outcome.exit == 0
    assert outcome.stderr == f"{OLD} runs already: there is nothing to do\n"
    site.check_untouched()


def test_a_product_whose_part_runs_already_is_not_sent_again(site: Site) -> None:
    """A product has a version of its own: what counts is that of the part for this meter."""
    assert site.upload(f"signed.umi {BY_MAKER} {OPEN}").exit == 0
    outcome = site.upload(f"all.umi {BY_MAKER} {OPEN}")
    assert outcome.stderr == f"{NEW} runs already: there is nothing to do\n"
    assert site.upgrades() == [STARTED, COMPLETED]


def test_a_dry_run_sends_nothing(site: Site) -> None:
    outcome = site.upload(f"signed.umi {BY_MAKER} {OPEN} --dry-run")
    assert outcome.exit == 0
    assert outcome.stderr == "nothing was sent: --dry-run\n"
    assert site.upload(f"older.umi {BY_MAKER} {OPEN} --dry-run").exit == 41
    site.check_untouched()


def test_what_a_model_takes_at_once_is_learned(site: Site) -> None:
    at = site.meter(f"{PROVIDER}&max-block=4096")
    outcome = site.upload(f"signed.umi {BY_MAKER} --json", at)
    assert outcome.document["data"]["block_bytes"] == 4073
    assert learned_block_bytes(site.uploads, "EISGMv0") == 4073
    outcome = site.upload(f"newer.umi {BY_MAKER} --json", at)
    assert outcome.document["data"]["block_bytes"] == 3850  # what fits 16 fragments


def test_what_the_user_wishes_is_not_learned(site: Site) -> None:
    at = site.meter(PROVIDER)
    outcome = site.upload(f"short.umi {BY_MAKER} --block 678 --json", at)
    assert outcome.document["data"]["block_bytes"] == 678
    assert learned_block_bytes(site.uploads, "EISGMv0") is None


# Older versions


def test_a_downgrade_wants_a_reason(site: Site) -> None:
    outcome = site.upload(f"older.umi {BY_MAKER} {OPEN} --allow-downgrade")
    assert outcome.exit == 2
    assert "a downgrade wants a reason\nhint: add --reason" in outcome.stderr
    site.check_untouched()


def test_the_manufacturer_goes_back(site: Site) -> None:
    back = f"older.umi {BY_MAKER} --allow-downgrade --reason trial --json"
    outcome = site.upload(back, site.meter("as=manufacturer"))
    assert outcome.document["data"]["running"] == "1.4.1"
    assert site.upgrades() == [STARTED, COMPLETED]


def test_others_do_not_go_back(site: Site) -> None:
    back = f"older.umi {BY_MAKER} {OPEN} --allow-downgrade --reason trial --json"
    error = site.upload(back).document["error"]
    assert error["exit"] == 40
    assert error["result"] == {"number": 23, "name": "BAD_IMAGE"}
    assert "or take no older version from this role" in error["hint"]
    assert site.running() == OLD
    assert site.upgrades() == [STARTED, REJECTED]


# Refused before a byte of the image is sent


def in_image(data: bytes) -> bytes:
    return data[:300] + bytes([data[300] ^ 1]) + data[301:]


def in_signature(data: bytes) -> bytes:
    return data[:-40] + bytes([data[-40] ^ 1]) + data[-39:]


def longer_image(data: bytes) -> bytes:
    return data[:36] + _U32.pack(_U32.unpack_from(data, 36)[0] + 1) + data[40:]


def longer_header(data: bytes) -> bytes:
    return data[:4] + b"\x59" + data[5:]


def longer_part(data: bytes) -> bytes:
    return data[:88] + _U32.pack(_U32.unpack_from(data, 88)[0] + 1) + data[92:]


def in_itself(data: bytes) -> bytes:
    """Return a product whose first part is of its own kind."""
    return data[:98] + b"\x02" + data[99:]


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("signed.umi", lambda data: data[:-1], "wrong-length: the package has no known end"),
        ("signed.umi", lambda data: data[:1000], "wrong-length: the image is cut off"),
        ("signed.umi", lambda data: data[:50], "wrong-length: image header is cut off"),
        ("signed.umi", lambda data: data + b"\0", "wrong-length: the package goes on"),
        ("signed.umi", lambda data: data + data, "wrong-length: the package goes on"),
        ("signed.umi", in_image, "wrong-hash: the image is not the one"),
        ("signed.umi", in_signature, "bad-signature: the signature is false"),
        ("signed.umi", lambda data: data[:-75] + bytes(75), "malformed: "),
        ("signed.umi", longer_image, "wrong-length: "),
        ("signed.umi", longer_header, "malformed: image header says that it has 89 bytes"),
        ("all.umi", longer_part, "wrong-length: part 1: "),
        ("all.umi", in_itself, "malformed: part 1: a product stands inside a product"),
        ("sealed.umi", lambda data: data[:-1], "wrong-length: the package has no known end"),
        ("firmware.bin", bytes, "malformed: this is no image package"),
        ("firmware.bin", lambda data: b"", "malformed: this is no image package"),
        ("signed-plain.umi", bytes, "not-signed: nobody has signed the package"),
        ("late.umi", bytes, "not-after: the package was not to be installed after 2020-01-02"),
    ],
)
def test_a_hostile_file_is_refused_on_the_desk(
    site: Site, name: str, change: Callable[[bytes], bytes], said: str
) -> None:
    path = spoilt(site, name, change)
    before = (site.path / "state.json").read_bytes()
    outcome = site.upload(f"{path} {BY_MAKER} {OPEN}")
    assert outcome.exit == 40
    assert outcome.stderr.startswith(f"umi: {said}")
    assert outcome.stdout == ""
    assert (site.path / "state.json").read_bytes() == before  # the meter was not even asked
    site.check_untouched()


def signed_as(role: Role) -> Callable[[Site], str]:
    """Return what writes a package that the maker has signed in that role."""

    def write(site: Site) -> str:
        key = load_key(Path(site.desk.file("maker.pem")))
        assert isinstance(key, PrivateKey)
        return spoilt(site, "signed-plain.umi", lambda data: signed(data, key, role))

    return write


@pytest.mark.parametrize(
    ("write", "more", "code", "said"),
    [
        (signed_as(Role.SERVICE), BY_MAKER, 40, "wrong-role: it was signed as service"),
        (signed_as(Role.MANUFACTURER), BY_MAKER, 24, "wrong-role: "),
        (lambda _: "signed.umi", "--signer office.cvc --anchor root.cvc", 40, "bad-signature: "),
        (lambda _: "signed.umi", "--signer maker.cvc --anchor other-root.cvc", 24, "bad-signature"),
        (lambda _: "mac.umi", "--signer-key other.key", 40, "bad-signature: "),
        (lambda _: "mac.umi", BY_MAKER, 40, "bad-signature: "),
        (lambda _: "mac.umi", "--signer-key maker.pem", 22, "a role key is an AES-128 key"),
        (lambda _: "signed.umi", "--anchor root.cvc", 2, "nothing says who is to have signed"),
        (lambda _: "signed.umi", "--signer maker.cvc", 2, "nothing says who is to have signed"),
        (lambda _: "sealed.umi", f"{BY_MAKER} --decrypt-key other.pem", 40, "bad-tag: "),
        (lambda _: "nosuch.umi", BY_MAKER, 2, "cannot read "),
    ],
)
def test_a_signer_who_is_not_the_right_one_is_refused_on_the_desk(
    site: Site, write: Callable[[Site], str], more: str, code: int, said: str
) -> None:
    outcome = site.upload(f"{write(site)} {more}", site.meter(PROVIDER))
    assert outcome.exit == code, outcome.stderr
    assert outcome.stderr.startswith(f"umi: {said}")
    site.check_untouched()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("target.umi", "wrong-target: the package is for 0000000000000001..0000000000000009"),
        ("same-target.umi", "wrong-target: "),
        ("model.umi", "wrong-model: the package is for the model EISGMv1, not for EISGMv0"),
        ("older.umi", "not-newer: the package has version 1.4.1, which is not newer than 1.4.2"),
    ],
)
def test_what_is_not_for_this_meter_is_refused_before_it_is_sent(
    site: Site, name: str, said: str
) -> None:
    error = site.upload(f"{name} {BY_MAKER} {OPEN} --json").document["error"]
    assert (error["exit"], error["code"]) == (41, "wrong-target")
    assert error["message"].startswith(said)
    assert "result" not in error
    site.check_untouched()


# Refused by the device


def test_a_model_that_nobody_may_read_is_checked_by_the_meter(site: Site) -> None:
    at = site.meter("as=manufacturer")
    hidden = site.desk.umi(
        "-p", at, "access", "set", "manufacturer-id", "--read", "manufacturer", "-y"
    )
    assert hidden.exit == 0
    error = site.upload(f"model.umi {BY_MAKER} {OPEN} --json").document["error"]
    assert (error["exit"], error["code"]) == (41, "wrong-target")
    assert error["message"] == "the device refused IMAGE_END: WRONG_IMAGE_TARGET (22)"
    assert error["result"] == {"number": 22, "name": "WRONG_IMAGE_TARGET"}
    assert site.upgrades(at) == [STARTED, REJECTED]


def test_a_meter_that_does_not_know_the_signer_refuses_the_image(site: Site) -> None:
    (site.path / "state.json").unlink()  # a new one from the factory
    at = site.meter(PROVIDER)
    error = site.upload(f"signed.umi {BY_MAKER} --json", at).document["error"]
    assert (error["exit"], error["code"]) == (40, "image-invalid")
    assert error["message"] == "the device refused IMAGE_END: BAD_IMAGE (23)"
    assert error["result"] == {"number": 23, "name": "BAD_IMAGE"}
    assert error["hint"].startswith("it may not know the certificate of who signed it")
    assert site.running() == OLD
    assert is_nothing_left(site)


def test_a_meter_whose_clock_is_past_the_date_refuses_the_image(site: Site) -> None:
    at = site.meter(f"{PROVIDER}&time=2099-06-01T00:00:00Z")
    error = site.upload(f"dated.umi {BY_MAKER} --json", at).document["error"]
    assert (error["exit"], error["result"]["number"]) == (40, 23)


def test_a_meter_without_the_transport_key_refuses_the_image(site: Site) -> None:
    outcome = site.upload(f"other.umi {OPEN} --json")
    error = outcome.document["error"]
    assert (error["exit"], error["code"]) == (30, "refused")
    assert error["result"] == {"number": 24, "name": "UNKNOWN_TRANSPORT_KEY_ID"}
    assert "umi image encrypt" in error["hint"]
    assert site.upgrades() == [STARTED, REJECTED]


def test_a_guest_may_not_send_images(site: Site) -> None:
    error = site.upload(f"signed.umi {BY_MAKER} --json").document["error"]
    assert (error["exit"], error["result"]["number"]) == (23, 9)
    site.check_untouched()


# Stopped, and gone on with


def going_on_at(stderr: str) -> int:
    """Return the byte at which an upload went on; 0 if it began anew."""
    found = re.search(r"^going on at byte (\d+)$", stderr, re.MULTILINE)
    return int(found[1]) if found else 0


def stopped(process: Any) -> str:
    """Return the command that goes on with an upload which has just stopped."""
    stdout, stderr = process.communicate(timeout=TIME_LIMIT_S)
    assert (process.returncode, stdout) == (42, "")
    assert re.search(r"^umi: the upload of \S+ has stopped: ", stderr, re.MULTILINE)
    found = re.search(r"^hint: go on with: umi (.*)$", stderr, re.MULTILINE)
    assert found
    return found[1]


def killed(process: Any) -> None:
    process.kill()
    process.communicate(timeout=TIME_LIMIT_S)


@pytest.mark.parametrize("scheme", [OPEN, SCHEME_1])
@pytest.mark.parametrize("is_served", [False, True])
def test_ctrl_c_tells_the_command_that_goes_on(site: Site, is_served: bool, scheme: str) -> None:
    state = ["--state", str(site.path / "state.json")]
    line = f"signed.umi {BY_MAKER} {scheme} --anchor root.cvc"
    if not is_served:
        check_ctrl_c(site, line, None)
        return
    with serving("--tcp", "127.0.0.1:0", *state) as (_, [address]):
        check_ctrl_c(site, line, address)


def check_ctrl_c(site: Site, line: str, at: str | None) -> None:
    process = site.start(line, at)
    process.send_signal(signal.SIGINT)
    command = shlex.split(stopped(process))
    assert command == ["-v", *site.words(line, at)]
    assert site.running(at) == OLD
    outcome = run_umi(*command, env=site.env)
    assert outcome.exit == 0
    at_byte = going_on_at(outcome.stderr)
    assert at_byte > 0
    assert at_byte % BLOCK_BYTES == 0
    assert site.running(at) == NEW
    assert site.upgrades(at) == [STARTED, COMPLETED]
    assert is_nothing_left(site)


def test_a_killed_upload_goes_on(site: Site) -> None:
    line = f"signed.umi {BY_MAKER} {OPEN}"
    killed(site.start(line))
    data = site.upload(f"{line} --json").document["data"]
    assert data["resumed_at"] > 0
    assert (data["starts"], data["running"]) == (0, NEW)
    assert site.upgrades() == [STARTED, COMPLETED]


@pytest.mark.parametrize("forgets", [False, True])
def test_a_meter_that_lost_its_power_says_where_it_is(site: Site, forgets: bool) -> None:
    state, line = site.path / "state.json", f"signed.umi {BY_MAKER} {OPEN}"
    sim = start_umi("sim", "--tcp", "127.0.0.1:0", "--state", str(state))
    [address] = json.loads(sim.stdout.readline())["addresses"]
    process = site.start(line, address)
    killed(sim)
    stopped(process)
    if forgets:
        shutil.copy(site.desk.file("state.json"), site.path)
        (site.path / "state.json.slots").unlink()
    with serving("--tcp", address.removeprefix("tcp:"), "--state", str(state)):
        outcome = site.upload(line, address)
        assert outcome.exit == 0
        assert going_on_at(outcome.stderr)
        assert ("it was begun anew" in outcome.stderr) == forgets
        assert site.running(address) == NEW


def test_another_file_is_begun_anew(site: Site) -> None:
    line = f"{spoilt(site, 'signed.umi', bytes)} {BY_MAKER} {OPEN}"
    killed(site.start(line))
    spoilt(site, "newer.umi", bytes)
    data = site.upload(f"{line} --json").document["data"]
    assert (data["resumed_at"], data["starts"], data["running"]) == (None, 1, "1.5.1")


def test_an_upload_is_not_gone_on_with_after_another_one(site: Site) -> None:
    """The meter has one transfer at a time: the blocks of two must not meet in it."""
    killed(site.start(f"signed.umi {BY_MAKER} {OPEN}"))
    killed(site.start(f"newer.umi {BY_MAKER} {OPEN}"))
    data = site.upload(f"signed.umi {BY_MAKER} {OPEN} --json").document["data"]
    assert (data["resumed_at"], data["running"]) == (None, NEW)


def test_a_file_that_changes_on_the_way_is_aborted(site: Site) -> None:
    path = spoilt(site, "signed.umi", bytes)
    process = site.start(f"{path} {BY_MAKER} {OPEN}")
    with open(path, "r+b") as file:
        file.seek(-1000, os.SEEK_END)
        file.write(b"changed")
    _, stderr = process.communicate(timeout=TIME_LIMIT_S)
    assert process.returncode == 40
    assert "the file has changed since it was verified; the transfer was aborted" in stderr
    assert site.upgrades() == [STARTED, FAILED]
    assert is_nothing_left(site)


def test_who_wants_to_begins_anew(site: Site) -> None:
    line = f"signed.umi {BY_MAKER} {OPEN}"
    killed(site.start(line))
    process = site.start(f"{line} --restart")
    process.send_signal(signal.SIGINT)
    command = stopped(process)
    assert "--restart" not in command  # it would not go on
    outcome = run_umi(*shlex.split(command), env=site.env)
    assert going_on_at(outcome.stderr)
    assert site.upgrades() == [STARTED, STARTED, COMPLETED]


def test_where_nothing_can_be_kept_nothing_is_sent(site: Site) -> None:
    words = site.words(f"signed.umi {BY_MAKER} {OPEN}")
    outcome = run_umi(*words, env={"XDG_STATE_HOME": "/dev/null/nosuch"})
    assert outcome.exit == 2
    assert outcome.stderr == (
        "umi: how far the upload is cannot be kept: Not a directory\n"
        "hint: make room, or name another place with XDG_STATE_HOME\n"
    )
    site.check_untouched()


# Run later


def test_an_image_that_waits_is_accepted_and_not_activated(site: Site) -> None:
    at = site.meter(f"{PROVIDER}&activate-after=60")
    data = site.upload(f"signed.umi {BY_MAKER} --json", at).document["data"]
    assert (data["accepted"], data["activated"], data["running"]) == (True, False, OLD)
    shown = site.upload(f"newer.umi {BY_MAKER} --restart", at).stdout
    assert re.search(r"^activated +no$", shown, re.MULTILINE)


def test_an_image_that_waits_is_waited_for(site: Site) -> None:
    at = site.meter(f"{PROVIDER}&activate-after=60")
    data = site.upload(f"signed.umi {BY_MAKER} --wait 90 --json", at).document["data"]
    assert (data["accepted"], data["activated"], data["running"]) == (True, True, NEW)
    assert site.running() == NEW


def test_a_wait_ends(site: Site) -> None:
    at = site.meter(f"{PROVIDER}&activate-after=600")
    data = site.upload(f"signed.umi {BY_MAKER} --wait 9 --json", at).document["data"]
    assert (data["accepted"], data["activated"], data["running"]) == (True, False, OLD)


def test_an_image_is_declared_valid_when_it_is_time(site: Site) -> None:
    moment = (datetime.now(UTC) + timedelta(seconds=6)).replace(microsecond=0)
    text = moment.isoformat().replace("+00:00", "Z")
    outcome = site.upload(f"signed.umi {BY_MAKER} --activate-at {text}", site.meter(PROVIDER))
    assert outcome.exit == 0
    assert f"it is told that it is valid at {text}\n" in outcome.stderr
    log = site.read("event-table")["value"]
    [completed] = [each for each in log if each["event"]["number"] == 2][-1:]
    assert completed["timestamp"] >= text


def test_who_is_interrupted_while_he_waits_goes_on_at_the_end(site: Site) -> None:
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    line = f"signed.umi {BY_MAKER} {OPEN} --activate-at"
    state = str(site.path / "state.json")
    with serving("--tcp", "127.0.0.1:0", "--state", state) as (_, [address]):
        process = start_umi(*site.words(f"{line} {later}", address), env=site.env)
        while "the device has everything" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        stopped(process)
        now = datetime.now(UTC).isoformat()
        data = site.upload(f"{line} {now} --json", address).document["data"]
    assert data["resumed_at"] == os.path.getsize(site.desk.file("signed.umi"))
    assert (data["starts"], data["running"]) == (0, NEW)


@pytest.mark.parametrize("how", ["another file", "other bytes"])
def test_what_is_sent_is_what_was_verified(site: Site, how: str) -> None:
    """The file is replaced while the device is waited for."""
    path = site.path / "package.umi"
    shutil.copy(site.desk.file("signed.umi"), path)
    line = f"{path} {BY_MAKER} {OPEN}"
    process = start_umi(*site.words(line, "tcp-listen:0?wait=30"), env=site.env)
    place = process.stderr.readline().split()[2]
    spoilt = bytearray(path.read_bytes())
    spoilt[-1] ^= 1
    if how == "another file":
        path.unlink()
    path.write_bytes(spoilt)
    with serving("--call", place, "--state", str(site.path / "state.json")):
        stdout, stderr = process.communicate(timeout=TIME_LIMIT_S)
    if how == "another file":
        assert process.returncode == 0, stderr
        assert NEW in stdout
    else:
        assert process.returncode == 2, stderr
        assert "has changed since it was verified: nothing was sent" in stderr
