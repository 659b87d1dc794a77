"""A desk with keys and certificates on it: root, sub authority, office, meter; made by `umi`."""

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

from tests.cli.conftest import Outcome
from umi_cli.cli.main import run

ROOT, SUB = "00237EFE000000A0", "00237EFE000000A1"
FILES = (".pem", ".key", ".cvc", ".req", ".hex", ".txt", ".umi", ".bin", ".tbs", ".sig")
OFFICE, METER = "00237EFE00000004", "00237EFE00000001"


@dataclass(frozen=True, slots=True)
class Desk:
    """A directory to work in."""

    path: Path

    def file(self, name: str) -> str:
        """Return the path of a file on the desk."""
        return str(self.path / name)

    def umi(self, *args: str) -> Outcome:
        """Run `umi` in this process; words with a dot that name files are files on the desk."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run([self.placed(word) for word in args])
        return Outcome(code, out.getvalue(), err.getvalue())

    def do(self, line: str) -> Outcome:
        """Run a line of `umi`, which must succeed; words as for `umi`."""
        outcome = self.umi(*line.split())
        assert outcome.exit == 0, outcome.stderr
        return outcome

    def placed(self, word: str) -> str:
        """Return a word, or where the file is that it names."""
        is_file = word.endswith(FILES)
        return (
            self.file(word)
            if is_file and not word.startswith(("/", "sim:", "env:", "file:"))
            else word
        )

    @property
    def meter(self) -> str:
        """Return the address of a virtual meter with the meter's key, certificate and root."""
        names = ("key=meter.pem", "cert=meter.cvc", "anchor=root.cvc")
        return "sim:?" + "&".join(name.replace("=", f"={self.path}/") for name in names)


def laid(path: Path) -> Desk:
    """Lay a desk out in an empty directory."""
    desk = Desk(path)
    for name in ("root", "sub", "office", "meter"):
        desk.do(f"key new {name}.pem")
    desk.do("key new service.key --type aes128")
    desk.do(f"cert new root.cvc --key root.pem --subject {ROOT}")
    desk.do(f"cert request sub.req --key sub.pem --subject {SUB} --issuer {ROOT}")
    desk.do(
        "cert issue sub.req sub.cvc --key root.pem --issuer-cert root.cvc --authority"
        " --signing-roles user,service --target-min 00237EFE00000000 --target-max 00237EFE0000FFFF"
    )
    desk.do(f"cert request office.req --key office.pem --subject {OFFICE} --issuer {SUB}")
    desk.do("cert issue office.req office.cvc --key sub.pem --issuer-cert sub.cvc --role service")
    desk.do(f"cert request meter.req --key meter.pem --subject {METER} --issuer {ROOT}")
    desk.do(
        "cert issue meter.req meter.cvc --key root.pem --issuer-cert root.cvc"
        " --role metering-device"
    )
    chain = (path / "office.cvc").read_bytes() + (path / "sub.cvc").read_bytes()
    (path / "chain.cvc").write_bytes(chain)
    return desk
