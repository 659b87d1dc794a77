"""A factory on a desk: an authority, a station's own key, and a plan; made by `umi`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.cli.desk import Desk
from umi_cli.certificates.chain import decode_chain
from umi_cli.certificates.trust import Anchor, Trust
from umi_cli.connecting import connect
from umi_cli.crypto import PrivateKey
from umi_cli.device.credentials import Scheme2Credentials
from umi_cli.device.meter import Meter
from umi_cli.security.keys import decode_key

ROOT_ID, STATION_ID = "00237EFFFFFFFFFF", "00237EFE0000A001"
MAKER_ID = "00237EFE000000B0"
HEAD_END = "he.example"
PLAN = """\
schema = "umi-plan/1"
name = "G4, line 3"

[units]
{units}

[identity]
umi_ids = "00237EFE00010000..00237EFE0001FFFF"
serials = "10000000..10099999"
model = "EISGMv0"
manufacturer = "ELS"
factory = "0025"

[authority]
key = "root.pem"
chain = "root.cvc"
anchor = "root.cvc"

[station]
key = "station.pem"
cert = "station.cvc"

[[write]]
object = "wan-configuration/primary_host"
value = "he.example"

[[access]]
object = "counter"
read = ["all"]

[[test]]
object = "valve"
equals = "open"

[end]
lock = true
"""


@dataclass(frozen=True, slots=True)
class Factory:
    """A directory with all that a line needs."""

    desk: Desk

    @property
    def path(self) -> Path:
        return self.desk.path

    @property
    def journal(self) -> str:
        """Return where its journal is."""
        return str(self.path / "line.journal")

    def plan(
        self,
        count: int = 3,
        *,
        units: str = "",
        changes: Mapping[str, str] | None = None,
        more: str = "",
        name: str = "plan.toml",
    ) -> str:
        """Write a plan and return its path.

        Args:
            count: how many units.
            units: the table of units, instead.
            changes: texts of the plan, and what stands there instead.
            more: what is added to its end.
            name: of the file.
        """
        text = PLAN.format(units=units or f"count = {count}") + more
        for old, new in (changes or {}).items():
            assert old in text
            text = text.replace(old, new, 1)
        path = self.path / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    @property
    def credentials(self) -> Scheme2Credentials:
        """Return what the station proves itself with."""
        [root] = decode_chain((self.path / "root.cvc").read_bytes())
        key = decode_key((self.path / "station.pem").read_bytes())
        assert isinstance(key, PrivateKey)
        return Scheme2Credentials(
            signer=key,
            chain=decode_chain((self.path / "station.cvc").read_bytes()),
            trust=Trust(anchors=(Anchor.of(root),)),
        )

    def connect(self, address: str) -> Meter:
        """Open a unit as the station does that proves itself."""
        own = self.credentials
        return connect(address, credentials=own, umi_id=own.certificate.body.subject)


def built(path: Path) -> Factory:
    """Build a factory in an empty directory."""
    desk = Desk(path)
    for name in ("root", "station"):
        desk.do(f"key new {name}.pem")
    desk.do(f"cert new root.cvc --key root.pem --subject {ROOT_ID} --signing-roles all")
    desk.do(f"cert request station.req --key station.pem --subject {STATION_ID} --issuer {ROOT_ID}")
    desk.do(
        "cert issue station.req station.cvc --key root.pem --issuer-cert root.cvc"
        " --role manufacturer"
    )
    return Factory(desk)
