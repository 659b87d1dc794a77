"""How a certificate looks: the record that `--json` prints, and the table for people."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

from umi_cli.output.render import Table

if TYPE_CHECKING:
    from umi_cli.certificates.cvc import Certificate, CertificateBody
    from umi_cli.certificates.request import CertificateRequest

_NOT_IN_TABLES = ("raw", "signature")
_COLUMNS = ("subject", "kind", "roles", "targets", "issuer", "serial", "valid_until", "state")


def record_of(certificate: "Certificate", at: datetime) -> dict[str, Any]:
    """Return every field of a certificate, and how it stands at a moment."""
    body = certificate.body
    return {
        "issuer": body.issuer,
        "subject": body.subject,
        "serial": body.serial,
        "valid_from": body.valid_from,
        "valid_until": body.valid_until,
        "state": state_at(body, at),
        **_rights_of(certificate),
        "public_point": body.public_point,
        "self_signed": _is_self_signed(certificate),
        "fingerprint": certificate.fingerprint,
        "signature": certificate.envelope.signature,
        "raw": certificate.encode(),
    }


def request_record(request: "CertificateRequest") -> dict[str, Any]:
    """Return every field of a certificate request."""
    from umi_cli import crypto

    return {
        "issuer": request.issuer,
        "subject": request.subject,
        "public_point": request.public_point,
        "key_fingerprint": crypto.sha256(request.public_point),
        "raw": request.encode(),
    }


def state_at(body: "CertificateBody", at: datetime) -> str:
    """Return `valid`, or in what way a certificate is out of its time."""
    from umi_cli.certificates.chain import check_time
    from umi_cli.certificates.trust import ChainError

    try:
        check_time(body, at)
    except ChainError as error:
        return error.failure.value
    return "valid"


def _rights_of(certificate: "Certificate") -> dict[str, Any]:
    from umi_cli.certificates.authorisation import StandardAuthorisation

    rights = certificate.body.authorisation
    record: dict[str, Any] = {"kind": "authority", "role": None}
    record |= {"signing_roles": None, "devolvable_roles": None}
    if isinstance(rights, StandardAuthorisation):
        role = {"number": int(rights.role), "name": rights.role.label}
        record |= {"kind": "standard", "role": role}
    else:
        record["signing_roles"] = rights.signing_roles
        record["devolvable_roles"] = rights.devolvable_roles
    targets = {"lowest": rights.targets.lowest, "highest": rights.targets.highest}
    return {**record, "targets": targets, "flags": rights.flags}


def _is_self_signed(certificate: "Certificate") -> bool:
    from umi_cli.errors import SignatureError

    body = certificate.body
    if body.issuer != body.subject:
        return False
    try:
        certificate.envelope.verify(body.public_point)
    except SignatureError:
        return False
    return True


def pairs(record: dict[str, Any], *, title: str = "") -> Table:
    """Return the fields of a record, one below the other; what is not there is left out."""
    shown = {name: value for name, value in record.items() if name not in _NOT_IN_TABLES}
    texts = {name.replace("_", " "): _text(value) for name, value in shown.items()}
    return Table.pairs({k: v for k, v in texts.items() if v is not None}, title=title)


def rows(records: list[dict[str, Any]]) -> Table:
    """Return a line for each certificate."""
    lines = []
    for record in records:
        roles = record["role"] or record["signing_roles"]
        fields = {**record, "roles": roles}
        lines.append([_text(fields[column]) for column in _COLUMNS])
    return Table(columns=tuple(column.replace("_", " ") for column in _COLUMNS), rows=lines)


def _text(value: object) -> object:
    """Return a range or a role of a record in few words; anything else as it is."""
    if isinstance(value, dict):
        return value["name"] if "name" in value else f"{value['lowest']}..{value['highest']}"
    return value
