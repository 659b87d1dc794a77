"""How does a device come by its identity, and whom it obeys? Keys and certificates inside it.

A blank unit is given its UMI ID and a root, makes its own key pair, and gets a chain for it
(protocol 3.2, A4 to B6, and 6.4). Each step may be taken again: what is there already is left as it
is. An answer that was lost is settled by reading back, and where nothing can be read back, by what
is harmless twice. Under a dry run all is proved, and nothing is sent that changes the device.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any, TypeVar

from umi_cli.application.codes import ResultCode
from umi_cli.application.commands import WriteObjectPart
from umi_cli.application.payload import Command
from umi_cli.application.security_commands import (
    S2AddCertificate,
    S2CheckRevocation,
    S2GenerateKeypair,
    S2GetCertificate,
    S2GetCsr,
    S2InstallOwnCertificateChain,
    S2RelinquishRights,
    S2RevocationAnswer,
    S2RevokeCertificate,
)
from umi_cli.certificates.chain import encode_chain, verify_chain
from umi_cli.certificates.cvc import Certificate, CertificateName
from umi_cli.certificates.request import CertificateRequest
from umi_cli.certificates.trust import Purpose, Trust
from umi_cli.crypto import AesKey
from umi_cli.device.meter import CHANGE_TRIES, Meter
from umi_cli.device.protection2 import check_device
from umi_cli.device.session import UMI_ID_OBJECT
from umi_cli.errors import (
    InputError,
    MalformedError,
    OutcomeUnknownError,
    ReadBackError,
    RefusedError,
    UmiError,
)
from umi_cli.types import EPOCH, UNKNOWN_DEVICE, ObjectPart, Role, UmiId

T = TypeVar("T")

KEYS_OBJECT = "scheme-1-keys"
_IS_THERE = (ResultCode.KEYPAIR_ALREADY_GENERATED, ResultCode.ALREADY_INSTALLED)


class Stage(Enum):
    """How far a unit is on its way to an identity."""

    BLANK = "blank"
    """No key pair."""
    HALF = "half"
    """A key pair, and no chain for it."""
    WHOLE = "whole"
    """Both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a device has of an identity."""

    device: UmiId
    request: CertificateRequest | None
    """Its request, verified; None without a key pair."""
    certificate: Certificate | None
    """Its own certificate, nothing in it verified."""

    @property
    def stage(self) -> Stage:
        """Return how far it is."""
        if self.request is None:
            return Stage.BLANK
        return Stage.HALF if self.certificate is None else Stage.WHOLE


def read_identity(meter: Meter) -> Identity:
    """Find out what a device has of an identity; raises as `fetch_request` does."""
    device = meter.session.identify()
    return Identity(
        device=device,
        request=_unless(ResultCode.NO_PUBLIC_KEY, lambda: fetch_request(meter)),
        certificate=find_certificate(meter, device),
    )


def set_umi_id(meter: Meter, umi_id: UmiId) -> bool:
    """Give a blank unit its UMI ID, and read it back; return whether it has changed.

    Raises:
        ReadBackError: it reads back differently.
        RefusedError: the unit has an ID that it keeps.
        UmiError: as in `Meter.write`.
    """
    session = meter.session
    session.device_id = UNKNOWN_DEVICE
    if session.identify() == umi_id:
        return False
    if not session.dry_run:
        session.device_id = UNKNOWN_DEVICE  # from here on the unit answers to the other one
        meter.write(ObjectPart(UMI_ID_OBJECT), umi_id.encode(), verify=True)
        session.device_id = umi_id
    return True


def make_key_pair(meter: Meter) -> bool:
    """Have a device make its own key pair; return whether it had none before.

    Raises:
        OutcomeUnknownError: the answer was lost, and nothing can be read back.
        UmiError: as in `Session.request`.
    """
    if _has_key_pair(meter):
        return False
    _change(meter, S2GenerateKeypair(), lambda: _has_key_pair(meter))
    return True


def fetch_request(meter: Meter) -> CertificateRequest:
    """Fetch a device's certificate request, which proves that it holds the key.

    Raises:
        RefusedError: it has no key pair (130).
        SignatureError: it does not prove that it holds the key.
        MalformedError: it is no request, or asks in the name of another device.
        UmiError: as in `Session.request`.
    """
    device = meter.session.identify()
    request = CertificateRequest.decode(meter.session.request(S2GetCsr()).request)
    request.verify()
    if request.subject != device:
        raise MalformedError(
            f"the request is in the name of {request.subject}, and the device is {device}",
            hint="issue nothing on it; see who the device is with: umi info",
        )
    return request


def fetch_certificate(meter: Meter, subject: UmiId | None = None) -> Certificate:
    """Fetch a certificate that a device has: its own if nobody is named; nothing is verified.

    Raises:
        RefusedError: it does not have it (131).
        MalformedError: it is none, or another's.
        UmiError: as in `Session.request`.
    """
    subject = subject or meter.session.identify()
    reply = meter.session.request(S2GetCertificate(subject=subject))
    certificate = Certificate.decode(reply.certificate)
    if certificate.body.subject != subject:
        raise MalformedError(
            f"the certificate of {subject} was asked for, and that of "
            f"{certificate.body.subject} came"
        )
    return certificate


def find_certificate(meter: Meter, subject: UmiId | None = None) -> Certificate | None:
    """Return what `fetch_certificate` does; None if the device does not have it."""
    return _unless(ResultCode.NO_CERTIFICATE, lambda: fetch_certificate(meter, subject))


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """What came of the installation of a chain."""

    chain: tuple[Certificate, ...]
    """What the device has, own first; under a dry run what it would have."""
    is_new: bool
    """It did not have it before."""


def verify_own_chain(
    certificates: Sequence[Certificate],
    request: CertificateRequest,
    *,
    trusted: Trust,
    at: datetime,
) -> tuple[Certificate, ...]:
    """Verify a chain before a device is given it; return what is sent: own first, no anchor.

    Args:
        certificates: the device's own first; the others in any order.
        request: what the device asked for, verified.
        trusted: the roots.
        at: when the chain is to hold.

    Raises:
        ChainError: it does not lead to a root, or is for another device, key or role.
    """
    leaf, *above = certificates
    purpose = Purpose(source=request.subject, public_point=request.public_point)
    path = verify_chain(leaf, above, trust=trusted, at=at, purpose=purpose)
    check_device(leaf)
    anchors = trusted.anchors
    return tuple(each for each in path if not any(root.is_certificate(each) for root in anchors))


def install_chain(
    meter: Meter,
    certificates: Sequence[Certificate],
    *,
    trusted: Trust,
    at: datetime | None = None,
) -> Installation:
    """Install a device's own chain, verified before and read back after.

    Args:
        certificates, trusted: as in `verify_own_chain`.
        at: when the chain is to hold; now if None.

    Raises:
        ChainError: as in `verify_own_chain`; nothing was sent.
        ReadBackError: the device has something else afterwards.
        OutcomeUnknownError: the answer was lost, and nothing can be read back.
        UmiError: as in `fetch_request`.
    """
    at = at or EPOCH + timedelta(seconds=meter.session.utc_s())
    chain = verify_own_chain(certificates, fetch_request(meter), trusted=trusted, at=at)
    if _has(meter, chain):
        return Installation(chain=chain, is_new=False)
    command = S2InstallOwnCertificateChain(certificates=encode_chain(chain))
    _change(meter, command, lambda: _has(meter, chain))
    if not meter.session.dry_run and not _has(meter, chain):
        raise ReadBackError(
            "the chain was installed, and the device shows another",
            hint="see what it has with: umi device certificate",
        )
    return Installation(chain=chain, is_new=True)


def trust(meter: Meter, certificates: Sequence[Certificate]) -> tuple[Certificate, ...]:
    """Hand over others' certificates, issuers first; return those that the device did not have.

    Raises:
        RefusedError: the device does not take one; those before it are there.
        OutcomeUnknownError: an answer was lost, and nothing can be read back.
        UmiError: as in `Session.request`.
    """
    new = []
    for certificate in issuers_first(certificates):
        if _has(meter, (certificate,)):
            continue
        command = S2AddCertificate(certificate=certificate.encode())
        _change(meter, command, lambda each=certificate: _has(meter, (each,)))  # type: ignore[misc]
        new.append(certificate)
    return tuple(new)


def issuers_first(certificates: Sequence[Certificate]) -> list[Certificate]:
    """Return certificates in an order in which a device can verify one after the other."""
    ordered: list[Certificate] = []
    waiting = list(dict.fromkeys(certificates))
    while waiting:
        subjects = {each.body.subject for each in waiting}
        ready = [each for each in waiting if not _hangs_on(each, subjects)] or waiting
        ordered += ready
        waiting = [each for each in waiting if each not in ready]
    return ordered


def _hangs_on(certificate: Certificate, subjects: set[UmiId]) -> bool:
    body = certificate.body
    return body.issuer in subjects and body.issuer != body.subject


def revoke(meter: Meter, name: CertificateName) -> None:
    """Have a device obey a certificate no longer; only a security authority is obeyed in this.

    Raises:
        RefusedError: the device does not; with 138 it has forgotten the party all the same.
        OutcomeUnknownError: the answer was lost, and so was that to the second time.
        UmiError: as in `Session.request`.
    """
    _again(meter, S2RevokeCertificate(**_named(name)))


def check_revocation(meter: Meter, name: CertificateName) -> None:
    """Have a device ask its revocation point about a certificate; raises as `revoke` does."""
    _again(meter, S2CheckRevocation(**_named(name)))


def answer_revocation(meter: Meter, name: CertificateName, *, is_revoked: bool) -> None:
    """Answer, as its revocation point, what a device has asked; raises as `revoke` does."""
    _again(meter, S2RevocationAnswer(**_named(name), is_revoked=int(is_revoked)))


def relinquish(meter: Meter) -> None:
    """Give up our own rights: the device forgets our certificate, and the session ends.

    Raises:
        InputError: we have proved nothing by a certificate.
        OutcomeUnknownError: the answer was lost, and nothing can be read back.
        UmiError: as in `Session.request`.
    """
    session = meter.session
    if session.standing.scheme != 2:
        raise InputError(
            "only who acts under a certificate has rights to give up",
            hint="give --key and --cert",
        )
    session.begin()
    own = S2GetCertificate(subject=session.own_id)

    def is_forgotten() -> bool:
        asked = _unless(ResultCode.NO_CERTIFICATE, lambda: session.request_in_clear(own))
        return asked is None

    _change(meter, S2RelinquishRights(), is_forgotten)
    if not session.dry_run:
        session.abandon()


def set_role_key(meter: Meter, role: Role, key: AesKey) -> None:
    """Set the key that everyone in a role shares under scheme 1; it cannot be read back.

    Raises:
        InputError: the session is not encrypted, or guests would have a key.
        NotInDatasheetError: the device has no place for such keys.
        OutcomeUnknownError: the answer was lost, and so was that to the second time.
        UmiError: as in `Session.request`.
    """
    check_key_may_go(meter, role)
    part = meter.catalogue.resolve(f"{KEYS_OBJECT}[{int(role)}]")
    _again(meter, WriteObjectPart(part=part, value=key.raw))


def check_key_may_go(meter: Meter, role: Role) -> None:
    """Make sure that a role's key may be sent as the session stands; `InputError` otherwise."""
    if not meter.session.standing.is_encrypted:
        raise InputError(
            "a key is sent inside an encrypted session alone, and here there is none",
            hint="give --key and --cert of somebody who may write it, for scheme 2",
        )
    if role is Role.GUEST:
        raise InputError("guests prove nothing, so they have no key", hint="name another role")


def _named(name: CertificateName) -> dict[str, Any]:
    """Return the fields of a command that names a certificate."""
    return {"issuer": name.issuer, "subject": name.subject, "serial_number": name.serial}


def _unless(number: ResultCode, ask: Callable[[], T]) -> T | None:
    """Return what a device answers; None if it refuses with that code."""
    try:
        return ask()
    except RefusedError as error:
        if error.number != number:
            raise
        return None


def _has_key_pair(meter: Meter) -> bool:
    return _unless(ResultCode.NO_PUBLIC_KEY, lambda: fetch_request(meter)) is not None


def _has(meter: Meter, certificates: Sequence[Certificate]) -> bool:
    return all(find_certificate(meter, each.body.subject) == each for each in certificates)


def _change(meter: Meter, command: Command[Any], has_run: Callable[[], bool]) -> None:
    """Send what changes the device, unless this is a dry run.

    One that was held up on the way may run between the read-back and the next try, which is then
    refused: the device has what it was to have.
    """
    if meter.session.dry_run:
        return
    try:
        meter.change(command, has_run)
    except RefusedError as error:
        if error.number not in _IS_THERE or not has_run():
            raise


def _again(meter: Meter, command: Command[Any]) -> None:
    """Send what is harmless twice until an answer comes; under a dry run only begin the session."""
    if meter.session.dry_run:
        meter.session.begin()
        return
    lost: OutcomeUnknownError | None = None
    for _ in range(CHANGE_TRIES):
        try:
            meter.session.request(command)
        except OutcomeUnknownError as error:
            lost = error
        except UmiError as error:
            if lost is None:
                raise
            raise lost from error  # it may have run the first time
        else:
            return
    if lost is not None:
        raise lost
