"""The deliberate defects of a virtual meter, by name: `sim --defect NAME`."""

from umi_cli.errors import InputError
from umi_cli.names import near
from umi_cli.virtual.defect import Defect
from umi_cli.virtual.defects.application import APPLICATION_DEFECTS
from umi_cli.virtual.defects.certificates import CERTIFICATE_DEFECTS
from umi_cli.virtual.defects.fragile import FRAGILE_DEFECTS
from umi_cli.virtual.defects.fragments import FRAGMENT_DEFECTS
from umi_cli.virtual.defects.images import IMAGE_DEFECTS
from umi_cli.virtual.defects.link import LINK_DEFECTS
from umi_cli.virtual.defects.objects import OBJECT_DEFECTS
from umi_cli.virtual.defects.scheme1 import SCHEME1_DEFECTS
from umi_cli.virtual.defects.sessions import SESSION_DEFECTS
from umi_cli.virtual.defects.signatures import SIGNATURE_DEFECTS
from umi_cli.virtual.defects.timing import TIMING_DEFECTS

DEFECTS: dict[str, type[Defect]] = {
    each.NAME: each
    for each in (
        *LINK_DEFECTS,
        *FRAGMENT_DEFECTS,
        *APPLICATION_DEFECTS,
        *OBJECT_DEFECTS,
        *SESSION_DEFECTS,
        *SIGNATURE_DEFECTS,
        *CERTIFICATE_DEFECTS,
        *SCHEME1_DEFECTS,
        *IMAGE_DEFECTS,
        *TIMING_DEFECTS,
        *FRAGILE_DEFECTS,
    )
}
"""All of them; each fails at least one test of `umi certify`."""


def defect_of(name: str) -> type[Defect]:
    """Return a defect by its name; `InputError` if there is none of that name."""
    if name not in DEFECTS:
        hint = near(name, DEFECTS) or "list them with: umi sim --defect list"
        raise InputError(f"the virtual meter has no defect {name!r:.60}", hint=hint)
    return DEFECTS[name]
