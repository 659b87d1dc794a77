"""The tricks that a meter plays on a reader that is to be certified, by name."""

from umi_cli.virtual.tricks.application import APPLICATION_TRICKS
from umi_cli.virtual.tricks.base import Trick
from umi_cli.virtual.tricks.certificates import CERTIFICATE_TRICKS
from umi_cli.virtual.tricks.fragments import FRAGMENT_TRICKS
from umi_cli.virtual.tricks.link import LINK_TRICKS
from umi_cli.virtual.tricks.scheme1 import SCHEME1_TRICKS
from umi_cli.virtual.tricks.sessions import SESSION_TRICKS

TRICKS: dict[str, type[Trick]] = {
    each.NAME: each
    for each in (
        *LINK_TRICKS,
        *FRAGMENT_TRICKS,
        *APPLICATION_TRICKS,
        *CERTIFICATE_TRICKS,
        *SESSION_TRICKS,
        *SCHEME1_TRICKS,
    )
}
"""All of them; each belongs to at least one scenario of `umi certify --as-meter`."""
