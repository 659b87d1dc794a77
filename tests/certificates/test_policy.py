"""A policy: what is inside passes; what is outside is refused, and the hint says what is inside."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from umi_cli.certificates.authorisation import (
    AuthorityAuthorisation,
    StandardAuthorisation,
    TargetRange,
)
from umi_cli.certificates.issue import Terms
from umi_cli.certificates.policy import Policy, PolicyError, SubordinateRules
from umi_cli.types import Role, RoleSet, UmiId

NOW = datetime(2026, 11, 22, 10, tzinfo=UTC)
TARGETS = TargetRange(lowest=UmiId(0x100), highest=UmiId(0x1FF))
SUBJECTS = TargetRange(lowest=UmiId(0x10), highest=UmiId(0x1F))
POLICY = Policy(
    roles=RoleSet.of(Role.SERVICE, Role.USER),
    max_days=30,
    default_days=10,
    targets=TARGETS,
    subjects=SUBJECTS,
    subordinates=SubordinateRules(signing_roles=RoleSet.of(Role.USER), devolvable_roles=RoleSet(0)),
)
SUBJECT = UmiId(0x10)
TERMS = Terms(
    serial=b"\1",
    valid_from=NOW,
    valid_until=NOW + timedelta(days=30),
    authorisation=StandardAuthorisation(targets=TARGETS, role=Role.SERVICE),
)


def authority(signing: RoleSet, devolvable: RoleSet, targets: TargetRange = TARGETS) -> Terms:
    rights = AuthorityAuthorisation(
        targets=targets, signing_roles=signing, devolvable_roles=devolvable
    )
    return replace(TERMS, authorisation=rights)


def test_what_is_inside_passes() -> None:
    POLICY.check(SUBJECT, TERMS)
    POLICY.check(UmiId(0x1F), authority(RoleSet.of(Role.USER), RoleSet(0)))


@pytest.mark.parametrize(
    ("subject", "terms", "said", "allowed"),
    [
        (UmiId(0x20), TERMS, "let 0000000000000020 be", f"the subjects {SUBJECTS}"),
        (
            SUBJECT,
            replace(
                TERMS,
                authorisation=StandardAuthorisation(targets=TARGETS, role=Role.MANUFACTURER),
            ),
            "the role manufacturer",
            "the roles user,service",
        ),
        (
            SUBJECT,
            replace(
                TERMS,
                authorisation=StandardAuthorisation(
                    targets=TargetRange(lowest=UmiId(0xFF), highest=UmiId(0x1FF)),
                    role=Role.SERVICE,
                ),
            ),
            "the targets 00000000000000FF..",
            f"the targets {TARGETS}",
        ),
        (
            SUBJECT,
            authority(
                RoleSet(0), RoleSet(0), TargetRange(lowest=UmiId(0x100), highest=UmiId(0x200))
            ),
            "the targets 0000000000000100..0000000000000200",
            f"the targets {TARGETS}",
        ),
        (
            SUBJECT,
            replace(TERMS, valid_until=NOW + timedelta(days=30, seconds=1)),
            "more than 30 days",
            "--days 30",
        ),
        (
            SUBJECT,
            authority(RoleSet.of(Role.USER, Role.SERVICE), RoleSet(0)),
            "the signing roles user,service",
            "the signing roles user",
        ),
        (
            SUBJECT,
            authority(RoleSet.of(Role.USER), RoleSet.of(Role.USER)),
            "the devolvable roles user",
            "the devolvable roles none",
        ),
    ],
    ids=["subject", "role", "targets", "authority's targets", "time", "signing", "devolvable"],
)
def test_what_is_outside_is_refused(subject: UmiId, terms: Terms, said: str, allowed: str) -> None:
    with pytest.raises(PolicyError) as caught:
        POLICY.check(subject, terms)
    assert said in str(caught.value)
    assert allowed in caught.value.hint
    assert caught.value.exit_code == 2


def test_no_subordinate_authorities_unless_they_are_named() -> None:
    with pytest.raises(PolicyError, match="no subordinate authority"):
        replace(POLICY, subordinates=None).check(
            SUBJECT, authority(RoleSet.of(Role.USER), RoleSet(0))
        )


@pytest.mark.parametrize(
    ("lowest", "highest", "found"),
    [
        (0, 0xFFF, TARGETS),
        (0x110, 0x120, TargetRange(lowest=UmiId(0x110), highest=UmiId(0x120))),
        (0x180, 0xFFF, TargetRange(lowest=UmiId(0x180), highest=UmiId(0x1FF))),
        (0x200, 0xFFF, TargetRange(lowest=UmiId(0x200), highest=UmiId(0xFFF))),
    ],
)
def test_the_widest_range_is_what_both_allow(lowest: int, highest: int, found: TargetRange) -> None:
    assert POLICY.narrow(TargetRange(lowest=UmiId(lowest), highest=UmiId(highest))) == found


@pytest.mark.parametrize(("default", "longest"), [(0, 1), (31, 30)])
def test_lifetimes_that_contradict_themselves(default: int, longest: int) -> None:
    with pytest.raises(ValueError, match="default lifetime"):
        replace(POLICY, default_days=default, max_days=longest)
