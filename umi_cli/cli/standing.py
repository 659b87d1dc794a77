"""How a session stands, as a security officer asks: for `umi info` and `umi auth`."""

from typing import TYPE_CHECKING, Any

from umi_cli.output.render import timestamp

if TYPE_CHECKING:
    from umi_cli.certificates.cvc import Certificate
    from umi_cli.device.protection import Standing

PROTECTION = {
    0: "in the clear: nothing is encrypted, and nobody has proved who he is",
    1: "authenticated by the role's shared key; in the clear, each packet with its own MAC",
    2: "authenticated by certificates, encrypted with AES-128-GCM",
}
FORWARD_SECRECY = "none: the key agreement is static, so a key that leaks opens what was recorded"


def standing_record(standing: "Standing") -> dict[str, Any]:
    """Return what `--json` prints of a session's standing."""
    return {
        "scheme": standing.scheme,
        "role": standing.role.label,
        "authenticated": standing.is_authenticated,
        "encrypted": standing.is_encrypted,
        "confirmed": standing.is_confirmed,
        "forward_secrecy": False,
        "own_certificate": certificate_record(standing.own_certificate),
        "device_certificate": certificate_record(standing.device_certificate),
        "pinned": standing.is_pinned,
    }


def standing_rows(standing: "Standing") -> dict[str, str]:
    """Return what people see of a session's standing, by name."""
    rows = {
        "security": f"scheme {standing.scheme}, {PROTECTION[standing.scheme]}",
        "role": standing.role.label,
    }
    if standing.own_certificate is not None:
        rows["own certificate"] = _line(standing.own_certificate)
    if standing.device_certificate is not None:
        trusted = "pinned on first contact" if standing.is_pinned else "verified"
        rows["its certificate"] = f"{_line(standing.device_certificate)}, {trusted}"
        rows["session key"] = "confirmed" if standing.is_confirmed else "not confirmed"
        rows["forward secrecy"] = FORWARD_SECRECY
    return rows


def certificate_record(certificate: "Certificate | None") -> dict[str, Any] | None:
    """Return what tells one certificate from another."""
    if certificate is None:
        return None
    body = certificate.body
    return {
        "subject": body.subject,
        "issuer": body.issuer,
        "serial": body.serial,
        "valid_from": body.valid_from,
        "valid_until": body.valid_until,
        "fingerprint": certificate.fingerprint,
    }


def _line(certificate: "Certificate") -> str:
    body = certificate.body
    return f"{body.subject}, issued by {body.issuer}, until {timestamp(body.valid_until)}"
