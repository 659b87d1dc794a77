"""What every command of `umi` does: a run that succeeds, and the failures that it can meet.

A test fails where a command has no row here. For a new one a row is enough:

    OnDevice("clock show")                              # it reads a device
    OnDevice("clock sync", changes=True)                # it changes one, and takes --dry-run
    AtDesk("export", "{w}/unit.json")   # it needs none

In the words `{d}` is the desk, whose files no run changes, `{w}` what each run has for itself;
`matrix_desk` says what lies there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

NOTHING: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class Row:
    """One way to run a command."""

    command: str
    """Its words, `access show`."""
    words: str = ""
    """Arguments and options of a run that succeeds."""
    fails: Mapping[str, int] = field(default_factory=lambda: NOTHING, kw_only=True)
    """What stands in place of the words (with `-p` also of the address), and the exit code."""
    is_said: bool = field(default=False, kw_only=True)
    """People are told something on stderr even where all goes well: a note, a warning."""
    asks: str | None = field(default=None, kw_only=True)
    """Words with which it asks, so that without an answer it ends with 2 and names `--yes`."""

    def line(self, words: str | None = None) -> str:
        """Return the command line, with other words in place of those that succeed."""
        return f"{self.command} {self.words if words is None else words}"

    def run(self, words: str | None = None) -> str:
        """Return the whole line of a run, at its device if it needs one."""
        return self.line(words)


class AtDesk(Row):
    """A run that needs no device."""


@dataclass(frozen=True, slots=True)
class OnDevice(Row):
    """A run at a device: `-p` comes from the test, and so do the failures of every line."""

    unit: str = field(default="meter", kw_only=True)
    """Its state at the beginning: `meter`, or a unit that is `blank`, `half` or `whole`."""
    role: str = field(default="manufacturer", kw_only=True)
    """In which it takes us, on the bench, where nothing is proved."""
    own: str = field(default="", kw_only=True)
    """Whom we trust, and what we prove ourselves with, where the bench does not do."""
    changes: bool = field(default=False, kw_only=True)
    """It changes the device: there is a dry run."""
    ways: Mapping[str, int] = field(default_factory=lambda: NOTHING, kw_only=True)
    """Ways to a device on which it ends with an exit code of its own."""

    def run(self, words: str | None = None) -> str:
        """Return the whole line of a run; words that say where, or who we are, hold."""
        words = self.words if words is None else words
        where = "" if "-p " in words else f"-p sim:{{w}}/{self.unit}.json?as={self.role}"
        own = "" if "--key " in words and "--key " in self.own else self.own
        return f"{where} {own} {self.line(words)}"


@dataclass(frozen=True, slots=True)
class Serving(Row):
    """A run that serves until it is ended by a signal."""


MAKER = "--key {d}/maker.pem --cert {d}/maker.cvc --anchor {d}/root.cvc"
SECURITY = "--key {d}/security.pem --cert {d}/security.cvc --anchor {d}/root.cvc"
OFFICE = "--key {d}/office.pem --cert {d}/chain.cvc"
ROOT = "--key {d}/root.pem --issuer-cert {d}/root.cvc"
METER = "00237EFE00000001"
BY_MAKER = "--signer {d}/maker.cvc"
CUT = "sim:{w}/meter.json?as=software-provider&fault=hangup:0.05&seed=1"
BUILT_FOR = "--model EISGMv0 --version 1.5.0 --target-min 1 --target-max 9"
ONE_ZERO_BYTE = "hex:00"
PLAN = "{d}/factory/plan.toml"
NEW_UNIT = "-p sim:{w}/new.json?blank=yes --wait 0.1"
IN_DOUBT = {"it lies": 17}
"""It sends the change first; an answer that is none leaves open whether it was made."""
SCHEME_2_ALONE = {"our key is not the one it knows": 2, "it is locked": 2}
PROVES_NOTHING = dict.fromkeys([*SCHEME_2_ALONE, "it is not trusted"], 0)
"""What it sends was signed elsewhere: it does not matter who sends it."""
FRAME = "01040000fe5b"

ROWS: tuple[Row, ...] = (
    OnDevice("info"),
    OnDevice(
        "read",
        "umi-id counter",
        fails={
            "umi-id nosuch": 31,
            "umi.1.1.99.9": 31,
            "umi.1.1.0": 2,
            "-p sim:?as=guest gsm-status": 23,
        },
    ),
    OnDevice(
        "write",
        "counter 5 --verify",
        changes=True,
        ways=IN_DOUBT,
        fails={
            "counter five": 2,
            "nosuch 5": 31,
            f"counter {ONE_ZERO_BYTE}": 30,
            "-p sim:?as=guest valve open": 23,
            "-p {changer} counter 5 --verify": 32,
        },
    ),
    OnDevice(
        "watch",
        "counter --every 0.1 --count 2",
        fails={"nosuch --every 1 --count 1": 31, "counter": 2, "counter --every 0": 2},
    ),
    AtDesk("objects", fails={"nosuch": 31, "--datasheet nosuch": 2}),
    OnDevice("objects", "counter --probe"),
    OnDevice(
        "access show",
        "valve",
        fails={"nosuch": 31, "profile-table[1]": 2, "-p sim:?as=guest valve": 23},
    ),
    OnDevice(
        "access set",
        "valve --write service",
        changes=True,
        asks="valve --write none",
        ways=IN_DOUBT,
        fails={"valve": 2, "nosuch --read all": 31, "-p sim:?as=guest valve --read all": 23},
    ),
    OnDevice("clock show"),
    OnDevice(
        "clock set",
        "2024-01-01T08:00:00Z --yes",
        changes=True,
        asks="2024-01-01T08:00:00Z",
        role="service",
        fails={"noon --yes": 2, "-p sim:?as=guest 2024-01-01T08:00:00Z --yes": 23},
    ),
    OnDevice("clock sync", changes=True, role="service", fails={"-p sim:?as=guest": 23}),
    OnDevice(
        "profile",
        "--since 2h",
        fails={"--since noon": 2, "--tz Nowhere/At": 2, "--since 1h --until 2h": 2},
    ),
    OnDevice(
        "events",
        "--since 2h",
        fails={"--since noon": 2, "--event nosuch": 31, "--count 3": 2},
    ),
    OnDevice(
        "export",
        "{w}/new.export",
        fails={"{w}/nosuch/new.export": 2, "- --only nosuch": 31},
    ),
    AtDesk(
        "diff",
        "{d}/meter.export {d}/meter.export",
        fails={
            "{d}/root.cvc {d}/meter.export": 2,
            "{d}/nosuch.export {d}/meter.export": 2,
            "{d}/meter.export {d}/spoilt.export --exit-code": 32,
        },
    ),
    OnDevice("diff", "{d}/meter.export"),
    AtDesk("key new", "{w}/new.pem", fails={"{w}/nosuch/new.pem": 22, "{d}/root.pem": 22}),
    AtDesk("key show", "{d}/root.pem", fails={"{d}/nosuch.pem": 22, "{d}/root.cvc": 22}),
    AtDesk(
        "cert new",
        "{w}/new.cvc --key {d}/root.pem --subject 1",
        asks="{d}/root.cvc --key {d}/root.pem --subject 1",
        fails={
            "{w}/new.cvc --key {d}/nosuch.pem --subject 1": 22,
            "{w}/new.cvc --key {d}/root.pem": 2,
        },
    ),
    AtDesk(
        "cert request",
        "{w}/new.req --key {d}/office.pem --subject 1 --issuer 2",
        fails={"{w}/new.req --key {d}/nosuch.pem --subject 1 --issuer 2": 22},
    ),
    AtDesk(
        "cert issue",
        f"{{d}}/maker.req {{w}}/new.cvc {ROOT} --role service",
        fails={
            f"{{d}}/root.cvc {{w}}/new.cvc {ROOT} --role service": 22,
            "{d}/maker.req {w}/new.cvc --key {d}/other.pem --issuer-cert {d}/root.cvc"
            " --role service": 24,
        },
    ),
    AtDesk("cert show", "{d}/chain.cvc", fails={"{d}/root.pem": 22}),
    AtDesk(
        "cert verify",
        "{d}/chain.cvc --anchor {d}/root.cvc",
        fails={"{d}/chain.cvc --anchor {d}/other-root.cvc": 24, "{d}/chain.cvc": 2},
    ),
    AtDesk(
        "cert verify-register",
        "{d}/issued.jsonl",
        fails={"{d}/root.cvc": 52, "{d}/nosuch.jsonl": 52},
    ),
    OnDevice("device keypair", unit="blank", changes=True),
    OnDevice("device csr", unit="half", fails={"--out {w}/nosuch/new.req": 2}),
    OnDevice(
        "device install",
        "{d}/unit.cvc",
        unit="half",
        own="--anchor {d}/root.cvc",
        changes=True,
        is_said=True,
        fails={"{d}/nosuch.cvc": 22, "{d}/meter.cvc": 24},
    ),
    OnDevice(
        "device trust",
        "{d}/office.cvc {d}/sub.cvc",
        unit="whole",
        changes=True,
        fails={"{d}/root.pem": 22},
    ),
    OnDevice("device certificate", unit="whole", fails={"00237EFE000000F0": 30}),
    OnDevice(
        "device revoke",
        "{d}/maker.cvc --yes",
        unit="whole",
        own=SECURITY,
        changes=True,
        asks="{d}/maker.cvc",
        fails={f"{MAKER} {{d}}/maker.cvc --yes": 23},
    ),
    OnDevice("device check-revocation", "{d}/maker.cvc", unit="whole", own=SECURITY, changes=True),
    OnDevice(
        "device answer-revocation",
        "{d}/maker.cvc --verdict good",
        unit="whole",
        own=SECURITY,
        changes=True,
    ),
    OnDevice(
        "device relinquish",
        "--yes",
        unit="whole",
        own=SECURITY,
        changes=True,
        asks="",
        ways=SCHEME_2_ALONE,
    ),
    OnDevice(
        "device key",
        "service {d}/other.key --yes",
        unit="whole",
        own=SECURITY,
        changes=True,
        asks="service {d}/other.key",
        ways=SCHEME_2_ALONE,
        fails={"service {d}/nosuch.key --yes": 22, "king {d}/other.key --yes": 2},
    ),
    AtDesk(
        "image build",
        f"{{d}}/firmware.bin {{w}}/new.umi {BUILT_FOR}",
        fails={f"{{d}}/nosuch.bin {{w}}/new.umi {BUILT_FOR}": 2},
    ),
    AtDesk(
        "image sign",
        "{d}/new-plain.umi --out {w}/new.umi --key {d}/maker.pem --cert {d}/maker.cvc",
        fails={
            "{d}/root.cvc --out {w}/new.umi --key {d}/maker.pem --cert {d}/maker.cvc": 40,
            "{d}/new-plain.umi --out {w}/new.umi --key {d}/root.pem --cert {d}/maker.cvc": 22,
        },
    ),
    AtDesk(
        "image encrypt",
        "{d}/new.umi {w}/new.umi --to {d}/meter.cvc --anchor {d}/root.cvc",
        fails={"{d}/root.cvc {w}/new.umi --to {d}/meter.cvc --anchor {d}/root.cvc": 40},
    ),
    AtDesk("image show", "{d}/new.umi", fails={"{d}/root.cvc": 40}),
    AtDesk(
        "image verify",
        "{d}/new.umi --cert {d}/maker.cvc --anchor {d}/root.cvc",
        fails={
            "{d}/spoilt.umi --cert {d}/maker.cvc --anchor {d}/root.cvc": 40,
            "{d}/new.umi --cert {d}/maker.cvc --anchor {d}/root.cvc --model Other": 41,
        },
    ),
    OnDevice(
        "image upload",
        f"{{d}}/new.umi {BY_MAKER}",
        own="--anchor {d}/root.cvc",
        role="software-provider",
        changes=True,
        is_said=True,
        fails={
            f"{{d}}/spoilt.umi {BY_MAKER}": 40,
            f"{{d}}/old.umi {BY_MAKER}": 41,
            f"{{d}}/new.umi {BY_MAKER} -p {CUT}": 42,
        },
    ),
    OnDevice("auth", own=MAKER),
    AtDesk(
        "sign",
        f"valve open --target {METER} --out {{w}}/new.umi {OFFICE}",
        fails={f"valve ajar --target {METER} --out {{w}}/new.umi {OFFICE}": 2},
    ),
    OnDevice(
        "send",
        "{d}/valve.umi",
        changes=True,
        ways={**IN_DOUBT, **PROVES_NOTHING},
        fails={"{d}/root.cvc": 2},
    ),
    AtDesk("decode", FRAME, fails={"0104": 33, "nosuch": 2}),
    *(
        AtDesk(
            f"provision {verb}",
            f"{PLAN} {NEW_UNIT} --journal {{w}}/new.journal",
            is_said=True,
            fails={
                f"{PLAN} --journal {{w}}/new.journal": 2,
                f"{{d}}/factory/bad.toml {NEW_UNIT} --journal {{w}}/new.journal": 50,
                f"{PLAN} -p sim:{{w}}/done.json --journal {{w}}/done.journal --wait 0.1": 51,
                f"{PLAN} {NEW_UNIT} --journal {{d}}/root.cvc": 52,
            },
        )
        for verb in ("run", "resume")
    ),
    AtDesk(
        "provision status",
        "--journal {w}/done.journal",
        fails={"--journal {d}/root.cvc": 52, "--journal {w}/nosuch.journal": 52},
    ),
    AtDesk("provision export", "--journal {w}/done.journal", fails={"--journal {d}/root.cvc": 52}),
    AtDesk("provision verify", "--journal {w}/done.journal", fails={"--journal {d}/root.cvc": 52}),
    AtDesk(
        "provision release",
        "{unit} --journal {w}/bad.journal --reason mended",
        fails={"nosuch --journal {w}/bad.journal --reason mended": 51},
    ),
    Serving("sim", "--tcp 127.0.0.1:0", fails={"": 2, "--tcp 127.0.0.1": 2}),
    OnDevice(
        "certify",
        "--only LNK-001",
        is_said=True,
        ways={
            "what comes is noise": 14,
            "it hangs up": 53,
            "it lies": 53,
            **dict.fromkeys([*SCHEME_2_ALONE, "it is not trusted"], 0),  # it proves nothing yet
        },
        fails={"--only nosuch": 2, "--explain LNK-999": 2},
    ),
    OnDevice(
        "fuzz",
        "--cases 20 --layer link",
        is_said=True,
        ways={
            "what comes is noise": 14,
            **dict.fromkeys([*SCHEME_2_ALONE, "it is not trusted"], 0),
        },
    ),
    AtDesk("certify", "--list", fails={"--as-meter": 2}),
    Serving("host", "--listen 127.0.0.1:0", fails={"": 2, "--listen nonsense": 2}),
    OnDevice(
        "shell",
        "{d}/read.lines",
        fails={"{d}/nosuch.lines": 2, "{d}/some-fail.lines": 53, "-e {d}/some-fail.lines": 31},
    ),
    OnDevice(
        "run",
        "{d}/change.lines",
        changes=True,
        ways=IN_DOUBT,
        fails={
            "{d}/nosuch.lines": 2,
            "{d}/some-fail.lines": 2,
            "-p sim:?as=guest {d}/valve.lines": 53,
            "-p sim:?as=guest {d}/valve.lines -e": 23,
        },
    ),
    AtDesk("config show", "--origin", fails={"--profile nosuch": 2}),
    AtDesk("config path", fails={"--config {d}/nosuch.toml": 2}),
    AtDesk("config profiles", "--config {d}/umi.toml", fails={"--config {d}/root.cvc": 2}),
    AtDesk("ports"),
    AtDesk("doctor", fails={"--bundle {d}/nosuch/new.zip": 2}),
    *(
        AtDesk(
            f"ports power {verb}",
            f"-p {{pins}}{' --for 0.01' if verb == 'on' else ''}",
            is_said=verb == "on",
            fails={"": 2, "-p spi:9.9?int=LINE&rst=LINE2": 10},
        )
        for verb in ("scan", "on", "off", "cycle")
    ),
    AtDesk("spec", fails={"--mark Z": 2}),
)
"""Every command, in the order of the registry."""
