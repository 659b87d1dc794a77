"""What we prove ourselves with, and whom we believe (protocol 6)."""

from collections.abc import Callable
from dataclasses import dataclass, field

from umi_cli.certificates.cvc import Certificate
from umi_cli.certificates.trust import Trust
from umi_cli.crypto import AesKey, Signer
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


Credentials = Scheme1Credentials | Scheme2Credentials
