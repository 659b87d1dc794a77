"""`umi device`: keys and certificates inside the device, from the blank unit on."""

from typing import TYPE_CHECKING, Any

import click

from umi_cli.cli import cert_files, cert_terms, cert_view
from umi_cli.cli.base import group
from umi_cli.cli.context import App, pass_app
from umi_cli.cli.device_rights import answer_revocation, check_revocation, relinquish, revoke
from umi_cli.cli.naming import naming_the_failure
from umi_cli.cli.params import UMI_ID
from umi_cli.errors import InputError, KeyUnusableError
from umi_cli.output.render import Table, View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from umi_cli.certificates.cvc import Certificate
    from umi_cli.types import Role, UmiId

EXAMPLES = """\
umi -p "sim:unit.json?blank=yes" device trust root.cvc
umi -p sim:unit.json device keypair
umi -p sim:unit.json device csr --out unit.req
umi -p sim:unit.json device install unit.cvc --anchor root.cvc
umi -p sim:unit.json device certificate
umi -p sim:unit.json device key service service.key --key maker.pem --cert maker.cvc
"""
TRUST, KEYPAIR, CSR, INSTALL, CERTIFICATE, KEY = EXAMPLES.splitlines()


@group(examples=EXAMPLES)
def device() -> None:
    """Manage the keys and certificates inside a device.

    A blank unit is given its UMI ID with umi write umi-id, the root with trust; it makes a keypair,
    and what is issued on its csr is what install gives it. Each may be run again: what is there
    already is left as it is.
    """


for each in (revoke, check_revocation, answer_revocation, relinquish):
    device.add_command(each)


@device.command(examples=KEYPAIR)
@pass_app
def keypair(app: App) -> None:
    """Have the device make its own key pair, which never leaves it.

    It makes one in its life; one that has a key pair keeps it.
    """
    from umi_cli import crypto
    from umi_cli.device import identity

    with app.connect() as meter:
        is_needed = identity.make_key_pair(meter)
        found = identity.read_identity(meter)
    point = found.request.public_point if found.request else None
    data = {
        **_outcome(app, is_needed),
        "device": found.device,
        "public_point": point,
        "key_fingerprint": crypto.sha256(point) if point else None,
    }
    rows = {
        "device": str(found.device),
        "key pair": _told(app, is_needed, "made"),
        "key fingerprint": crypto.sha256(point).hex() if point else None,
    }
    shown = {name: value for name, value in rows.items() if value is not None}
    app.emit(data, View(blocks=(Table.pairs(shown),), raw=[point] if point else ()))


@device.command(examples=CSR + "\numi -p sim:unit.json device csr --json")
@click.option("--out", metavar="FILE", help="Where to write it; - is stdout")
@pass_app
def csr(app: App, out: str | None) -> None:
    """Fetch the device's certificate request, and verify it.

    It proves that the device holds the key, and must be in the device's own name. What issues a
    certificate on it is umi cert issue.
    """
    from umi_cli.device.identity import fetch_request

    with app.connect() as meter:
        request = fetch_request(meter)
    cert_files.give(app, out, cert_view.request_record(request))


@device.command(
    examples=INSTALL + "\numi -p sim:unit.json device install unit.cvc sub.cvc --dry-run"
)
@click.argument("paths", metavar="CHAIN...", nargs=-1, required=True)
@pass_app
def install(app: App, paths: tuple[str, ...]) -> None:
    """Give the device its own certificate, with those above it.

    The device's own stands first; the root is not sent. Before anything is, the chain must lead to
    an --anchor, and be for this device, its key and the role of a device. It is read back after.
    """
    from umi_cli.certificates.trust import Trust
    from umi_cli.cli.credentials import load_anchors
    from umi_cli.device import identity

    trusted = Trust(anchors=load_anchors(app.settings))
    if not trusted.anchors:
        raise InputError(
            "nothing says which root the chain is to lead to", hint="add --anchor FILE"
        )
    certificates = _load(paths)
    with app.connect() as meter:
        before = identity.find_certificate(meter)
        if before not in (None, certificates[0]):
            app.confirm(loss="replace the device's own certificate")
        with naming_the_failure():
            done = identity.install_chain(meter, certificates, trusted=trusted)
    _give_all(app, done.chain, done.chain if done.is_new else (), "installed and read back")


@device.command(examples=TRUST + "\numi -p sim:unit.json device trust sub.cvc office.cvc")
@click.argument("paths", metavar="FILE...", nargs=-1, required=True)
@pass_app
def trust(app: App, paths: tuple[str, ...]) -> None:
    """Hand over others' certificates, issuers first.

    The first root that a blank unit is given is the one that it trusts from then on. What does not
    lead to a root that the device trusts, it refuses.
    """
    from umi_cli.device import identity

    certificates = identity.issuers_first(_load(paths))
    with app.connect() as meter:
        new = identity.trust(meter, certificates)
    _give_all(app, certificates, new, "handed over")


@device.command(
    examples=CERTIFICATE + "\numi -p sim device certificate 00237EFE00000004 --out x.cvc"
)
@click.argument("subject", metavar="[ID]", type=UMI_ID, required=False)
@click.option("--out", metavar="FILE", help="Where to write it; - is stdout")
@pass_app
def certificate(app: App, subject: "UmiId | None", out: str | None) -> None:
    """Fetch a certificate that the device has: its own, or that of a UMI ID.

    Nothing in it is verified: see umi cert verify.
    """
    from umi_cli.device.identity import fetch_certificate

    with app.connect() as meter:
        found = fetch_certificate(meter, subject)
    cert_files.give(app, out, cert_view.record_of(found, cert_terms.now()))


@device.command(
    examples=KEY + "\numi -p sim:unit.json device key user env:USER_KEY --yes --dry-run",
    lacks=("csv",),
)
@click.argument("whose", metavar="ROLE")
@click.argument("source", metavar="SOURCE")
@pass_app
def key(app: App, whose: str, source: str) -> None:
    """Set the key that everyone in a role shares under scheme 1.

    SOURCE is a file that umi key new --type aes128 has made, -, fd:3, file:PATH or env:NAME; never
    the key itself. It is sent inside an encrypted session alone, and nobody can read it back.
    """
    from umi_cli.cli.credentials import load_key
    from umi_cli.crypto import AesKey
    from umi_cli.device.identity import check_key_may_go, set_role_key
    from umi_cli.security.keys import check_value

    role, new = _role_of(whose), load_key(app.settings, source)
    if not isinstance(new, AesKey):
        raise KeyUnusableError(
            "a role's key is an AES-128 key, and this is a P-256 key",
            hint="make one with: umi key new FILE --type aes128",
        )
    with app.connect(is_secret=True) as meter:
        check_key_may_go(meter, role)
        app.confirm(loss=f"replace the key of the role {role.label}, and make an older one useless")
        set_role_key(meter, role, new)
    is_set = not app.settings.dry_run
    data = {"role": role.label, "check_value": check_value(new), "changed": is_set}
    verb = "set" if is_set else "would be set"
    app.emit(data, View(blocks=(f"{role.label}: key {check_value(new).hex()} {verb}",), raw=()))


def _role_of(text: str) -> "Role":
    """Return a role by name or number; `InputError` if there is none.

    It does not repeat the text: who confuses two arguments may have typed a key here.
    """
    from umi_cli.types import Role

    try:
        return Role.parse(text)
    except InputError:
        names = ", ".join(role.label for role in Role if role is not Role.GUEST)
        raise InputError("the first argument is no role", hint=f"roles are {names}") from None


def _load(paths: tuple[str, ...]) -> "list[Certificate]":
    from umi_cli.cli.credentials import load_chain

    return [each for path in paths for each in load_chain(path)]


def _give_all(
    app: App, certificates: "Sequence[Certificate]", new: "Sequence[Certificate]", verb: str
) -> None:
    """Tell which certificates the device has been given, and which it had."""
    at = cert_terms.now()
    records = [
        {**_outcome(app, each in new), **cert_view.record_of(each, at)} for each in certificates
    ]
    table = cert_view.rows(records)
    sentence = _told(app, bool(new), verb)
    if new and len(new) < len(certificates):
        sentence = f"{len(new)} of {len(certificates)} {sentence}; the others were there already"
    data = {**_outcome(app, bool(new)), "certificates": records}
    raw = [record["raw"] for record in records]
    app.emit(data, View(blocks=(f"{sentence}:", table), csv=table, raw=raw))


def _outcome(app: App, is_needed: bool) -> dict[str, Any]:
    """Return whether something was to be done, and whether it was."""
    return {"needed": is_needed, "changed": is_needed and not app.settings.dry_run}


def _told(app: App, is_needed: bool, verb: str) -> str:
    """Return how a command ended, in words."""
    if not is_needed:
        return "there already"
    return f"would be {verb}" if app.settings.dry_run else verb
