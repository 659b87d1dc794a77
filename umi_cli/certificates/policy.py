"""What does an authority allow itself to issue? (protocol 6.4)

A certificate of an authority bounds what anyone will trust below it; a policy is the narrower rule
that its owner keeps, so that a slip of the hand signs nothing he did not mean to.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar

from umi_cli.certificates.authorisation import (
    EVERY_TARGET,
    AuthorityAuthorisation,
    StandardAuthorisation,
    TargetRange,
)
from umi_cli.certificates.issue import Terms
from umi_cli.errors import InputError
from umi_cli.types import RoleSet, UmiId


class PolicyError(InputError):
    """What is to be issued lies outside the policy; the hint says what the policy allows."""

    code: ClassVar[str] = "outside-policy"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubordinateRules:
    """What a subordinate authority may be given."""

    signing_roles: RoleSet
    """Roles that it may issue."""
    devolvable_roles: RoleSet
    """Roles that it may hand on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """What an authority issues, and to whom."""

    roles: RoleSet
    """Roles of standard certificates."""
    max_days: int
    default_days: int
    targets: TargetRange = EVERY_TARGET
    """Devices that certificates may be good for."""
    subjects: TargetRange = EVERY_TARGET
    """UMI IDs that may be certified."""
    subordinates: SubordinateRules | None = None
    """None: no subordinate authorities."""

    def __post_init__(self) -> None:
        if not 1 <= self.default_days <= self.max_days:
            raise ValueError("the default lifetime is 1 day or more, and no more than the longest")

    def narrow(self, widest: TargetRange) -> TargetRange:
        """Return the targets within a range that the policy allows; that range if there are none.

        What lies outside is not hidden: `check` or the chain's rules refuse it by name.
        """
        lowest = max(widest.lowest, self.targets.lowest)
        highest = min(widest.highest, self.targets.highest)
        return TargetRange(lowest=lowest, highest=highest) if lowest <= highest else widest

    def check(self, subject: UmiId, terms: Terms) -> None:
        """Check that a certificate for that subject is one that the policy allows.

        Raises:
            PolicyError: it is not.
        """
        if subject not in self.subjects:
            raise PolicyError(
                f"the policy does not let {subject} be certified",
                hint=f"it allows the subjects {self.subjects}",
            )
        if isinstance(terms.authorisation, StandardAuthorisation):
            self._check_role(terms.authorisation)
        else:
            self._check_subordinate(terms.authorisation)
        if not terms.authorisation.targets.is_within(self.targets):
            raise PolicyError(
                f"the policy does not reach the targets {terms.authorisation.targets}",
                hint=f"it allows the targets {self.targets}: --target-min, --target-max",
            )
        self._check_lifetime(terms)

    def _check_role(self, rights: StandardAuthorisation) -> None:
        if rights.role not in self.roles:
            raise PolicyError(
                f"the policy does not let the role {rights.role.label} be issued",
                hint=f"it allows the roles {self.roles}",
            )

    def _check_subordinate(self, rights: AuthorityAuthorisation) -> None:
        rules = self.subordinates
        if rules is None:
            raise PolicyError(
                "the policy lets no subordinate authority be issued",
                hint=f"it allows the roles {self.roles}: leave --authority out, add --role",
            )
        for name, wanted, allowed in (
            ("signing", rights.signing_roles, rules.signing_roles),
            ("devolvable", rights.devolvable_roles, rules.devolvable_roles),
        ):
            if wanted.bits & ~allowed.bits:
                raise PolicyError(
                    f"the policy does not let an authority have the {name} roles {wanted}",
                    hint=f"it allows the {name} roles {allowed}",
                )

    def _check_lifetime(self, terms: Terms) -> None:
        if terms.valid_until - terms.valid_from > timedelta(days=self.max_days):
            raise PolicyError(
                f"the policy lets no certificate hold for more than {self.max_days} days",
                hint=f"give up to --days {self.max_days}, or an earlier --until",
            )
