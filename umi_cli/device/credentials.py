"""What we prove ourselves with, and whom we believe (protocol 6).

Under scheme 1 both sides hold a role's key. Here the virtual meter takes it from a file:

>>> import tempfile
>>> from pathlib import Path
>>> import umi_cli
>>> from umi_cli.security.keys import save_key
>>> key = AesKey.generate()
>>> own = Scheme1Credentials(role=Role.SERVICE, key=key)
>>> with tempfile.TemporaryDirectory() as folder:
...     save_key(Path(folder, "service.key"), key)
...     address = f"sim:?role-keys=service:{folder}/service.key"
...     with umi_cli.connect(address, credentials=own) as meter:
...         meter.session.begin()
...         meter.session.standing.role.label
'service'
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from umi_cli.certificates.authorisation import StandardAuthorisation
from umi_cli.certificates.cvc import Certificate
from umi_cli.certificates.trust import Trust
from umi_cli.crypto import AesKey, Signer
from umi_cli.errors import NotTrustedError
from umi_cli.types import Role, UmiId


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme1Credentials:
    """The key that everyone in a role shares (protocol 6.2)."""

    role: Role
    key: AesKey


def _pin_nothing(device: UmiId, certificate: Certificate) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheme2Credentials:
    """Our own key with its certificates, and what we trust (protocol 6.3, 6.4)."""

    signer: Signer
    chain: tuple[Certificate, ...]
    """Our own certificate first, then upwards; the anchor need not be there."""
    trust: Trust = field(default_factory=Trust)
    pin: Callable[[UmiId, Certificate], bool] = _pin_nothing
    """Asked on first contact, where no anchor vouches for a device: record its certificate and
    trust it (true), or not (false)."""

    @property
    def certificate(self) -> Certificate:
        """Return our own certificate."""
        return self.chain[0]

    @property
    def role(self) -> Role:
        """Return the role that our own certificate authorises.

        Raises:
            NotTrustedError: it is a signing authority's, which authorises none.
        """
        authorisation = self.certificate.body.authorisation
        if not isinstance(authorisation, StandardAuthorisation):
            raise NotTrustedError(
                "our certificate is a signing authority's, which authorises no role",
                hint="act with a certificate that umi cert issue made for a role",
            )
        return authorisation.role


Credentials = Scheme1Credentials | Scheme2Credentials
