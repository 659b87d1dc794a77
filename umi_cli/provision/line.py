"""What a plan needs to be carried out: keys, certificates, values, an image.

Everything is looked at here, so that a plan that cannot work stops before the first unit moves.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from umi_cli.certificates.cvc import Certificate
from umi_cli.certificates.issue import Terms
from umi_cli.crypto import Signer
from umi_cli.device.credentials import Credentials, Scheme2Credentials
from umi_cli.device.meter import Meter
from umi_cli.errors import UmiError
from umi_cli.images.header import ImageHeader
from umi_cli.objects.catalogue import Catalogue
from umi_cli.objects.values import Value
from umi_cli.provision.plan import Plan, PlannedAccess, PlannedTest, PlannedWrite
from umi_cli.provision.pools import Pool
from umi_cli.types import ObjectPart, RoleSet

Connect = Callable[[Credentials | None], AbstractContextManager[Meter]]
"""Opens the unit at a station, proving ourselves with credentials, or as guest."""

IDENTITY_OBJECT = "manufacturer-id"
UMI_ID_OBJECT = "umi-id"
LIFE_CYCLE_OBJECT = "life-cycle"
LOCKED = "locked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """Who issues the units' certificates."""

    signer: Signer
    chain: tuple[Certificate, ...]
    """Its own certificate first, then upwards; the anchor is not in it."""
    anchor: Certificate

    @property
    def certificate(self) -> Certificate:
        """Return its own certificate."""
        return self.chain[0] if self.chain else self.anchor


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """An object that is written, with the bytes."""

    part: ObjectPart
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """A value that must be read, with the bytes."""

    part: ObjectPart
    raw: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """Role sets that are set."""

    part: ObjectPart
    read: RoleSet | None
    write: RoleSet | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A plan with all that it needs."""

    plan: Plan
    catalogue: Catalogue
    authority: Authority
    station: Scheme2Credentials
    """What the line proves itself with once a unit has its chain."""
    trusted: tuple[Certificate, ...]
    """Handed to each unit; the station's own is among them."""
    umi_ids: Pool
    serials: Pool
    listed: Mapping[str, str]
    """UMI ID by serial number, where the plan has a list of units."""
    terms: Callable[[bytes], Terms]
    """Returns the terms of a certificate with a serial number."""
    image: ImageHeader | None = None
    package: bytes = field(default=b"", repr=False)
    """The file that the image is in, as it was read with the plan: it is what every unit gets."""
    writes: tuple[Written, ...] = ()
    accesses: tuple[Opened, ...] = ()
    tests: tuple[Tested, ...] = ()

    def identity(self, serial: str) -> Value:
        """Return the identity of a unit with a serial number."""
        identity = self.plan.identity
        return {
            "model": identity.model,
            "manufacturer": identity.manufacturer,
            "factory": identity.factory,
            "serial": serial,
        }


def written(catalogue: Catalogue, planned: PlannedWrite | PlannedTest) -> tuple[ObjectPart, bytes]:
    """Return what a plan says of an object, in bytes.

    Raises:
        InputError: there is no such object, or the value does not fit; with file, line and key.
    """
    part = resolved(catalogue, planned)
    definition = catalogue.find(part.code)
    if definition is not None and definition.secret:
        raise planned.fault(
            "object",
            f"{planned.object} is a secret, and none stands in a plan; set it on its own: "
            "umi device key ROLE SOURCE",
        )
    if isinstance(planned, PlannedWrite):
        key, text = "value", planned.value
    else:
        key, text = "equals", planned.equals
    try:
        return part, catalogue.parse_value(part, text)
    except UmiError as error:
        raise planned.fault(key, str(error)) from error


def resolved(
    catalogue: Catalogue, planned: PlannedWrite | PlannedAccess | PlannedTest
) -> ObjectPart:
    """Return the object that a plan means; `InputError` with its place if there is none."""
    try:
        return catalogue.resolve(planned.object)
    except UmiError as error:
        raise planned.fault("object", str(error)) from error
