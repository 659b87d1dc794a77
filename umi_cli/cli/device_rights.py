"""`umi device revoke` and its neighbours: whose certificates a device obeys no longer."""

from typing import TYPE_CHECKING, Any, TypedDict

import click

from umi_cli.cli.base import command
from umi_cli.cli.context import App, pass_app
from umi_cli.cli.params import HEX, UMI_ID
from umi_cli.errors import InputError
from umi_cli.output.render import View

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from umi_cli.certificates.cvc import CertificateName
    from umi_cli.types import UmiId

BY_FILE = "umi -p sim:unit.json device revoke office.cvc --key security.pem --cert security.cvc"
BY_NAME = "umi -p sim:unit.json device revoke --issuer 160 --subject 4 --serial 1f4a --yes"
CHECK = "umi -p sim:unit.json device check-revocation office.cvc"
ANSWER = "umi -p sim:unit.json device answer-revocation office.cvc --verdict good"
RELINQUISH = "umi -p sim:unit.json device relinquish --key office.pem --cert office.cvc"


class Given(TypedDict):
    """What names a certificate: a file, or the three parts of its name."""

    path: str | None
    issuer: "UmiId | None"
    subject: "UmiId | None"
    serial: bytes | None


def _named(function: "Callable[..., Any]") -> "Callable[..., Any]":
    """Add what names a certificate to a command, which takes it as keywords: a `Given`."""
    for option in (
        click.option("--serial", type=HEX, metavar="HEX", help="Its serial number"),
        click.option("--subject", type=UMI_ID, metavar="ID", help="Whose it is"),
        click.option("--issuer", type=UMI_ID, metavar="ID", help="Who has issued it"),
        click.argument("path", metavar="[FILE]", required=False),
    ):
        function = option(function)
    return function


@command(examples=f"{BY_FILE}\n{BY_NAME}", lacks=("csv",))
@_named
@pass_app
def revoke(app: App, **given: "Unpack[Given]") -> None:
    """Have the device obey a certificate no longer, and what hangs on it.

    The certificate is in FILE, or named by --issuer, --subject and --serial. The device obeys only
    a security authority in this; nothing takes it back but another certificate.
    """
    from umi_cli.device import identity

    name = _name_of(given)
    app.confirm(loss=f"revoke {name}, whose holder the device no longer obeys")
    with app.connect() as meter:
        identity.revoke(meter, name)
    _tell(app, name, "revoked", {})


@command(name="check-revocation", examples=CHECK, lacks=("csv",))
@_named
@pass_app
def check_revocation(app: App, **given: "Unpack[Given]") -> None:
    """Have the device ask its revocation point about a certificate.

    That is a security authority with a session, and answers with umi device answer-revocation.
    """
    from umi_cli.device import identity

    name = _name_of(given)
    with app.connect() as meter:
        identity.check_revocation(meter, name)
    _tell(app, name, "asked about", {})


@command(name="answer-revocation", examples=ANSWER, lacks=("csv",))
@_named
@click.option(
    "--verdict", type=click.Choice(["revoked", "good"]), required=True, help="Which it is"
)
@pass_app
def answer_revocation(app: App, verdict: str, **given: "Unpack[Given]") -> None:
    """Tell the device whether a certificate is revoked, as its revocation point.

    The device believes only a security authority.
    """
    from umi_cli.device import identity

    name, is_revoked = _name_of(given), verdict == "revoked"
    if is_revoked:
        app.confirm(loss=f"revoke {name}, whose holder the device no longer obeys")
    with app.connect() as meter:
        identity.answer_revocation(meter, name, is_revoked=is_revoked)
    _tell(app, name, f"told to be {verdict}", {"verdict": verdict})


@command(examples=RELINQUISH, lacks=("csv",))
@pass_app
def relinquish(app: App) -> None:
    """Give up our own rights in the device: it forgets our certificate.

    It takes the certificate again from whoever hands it over; to be shut out for good is umi device
    revoke.
    """
    from umi_cli.device import identity

    app.confirm(loss="give up our own rights in the device, which forgets our certificate")
    with app.connect() as meter:
        own_id = meter.session.own_id
        identity.relinquish(meter)
    is_done = not app.settings.dry_run
    verb = "given up" if is_done else "would be given up"
    data = {"subject": own_id, "changed": is_done}
    app.emit(data, View(blocks=(f"rights of {own_id}: {verb}",), raw=()))


def _name_of(given: Given) -> "CertificateName":
    """Return the name of the certificate that was given.

    Raises:
        InputError: none was, or two were.
        KeyUnusableError: the file holds none.
    """
    from umi_cli.certificates.cvc import CertificateName
    from umi_cli.cli.credentials import load_chain

    issuer, subject, serial = given["issuer"], given["subject"], given["serial"]
    parts = (issuer, subject, serial)
    if given["path"] is not None and not any(part is not None for part in parts):
        return load_chain(given["path"])[0].body.name
    if given["path"] is not None or issuer is None or subject is None or not serial:
        raise InputError(
            "a certificate is named by its file, or by its issuer, subject and serial number",
            hint="give FILE, or --issuer ID --subject ID --serial HEX: umi cert show tells them",
        )
    try:
        return CertificateName(issuer=issuer, subject=subject, serial=serial)
    except ValueError as error:
        raise InputError(f"--serial: {error}") from error


def _tell(app: App, name: "CertificateName", verb: str, more: dict[str, Any]) -> None:
    is_done = not app.settings.dry_run
    data = {
        "issuer": name.issuer,
        "subject": name.subject,
        "serial": name.serial,
        **more,
        "changed": is_done,
    }
    sentence = f"{name}: {verb}" if is_done else f"{name}: would be {verb}"
    app.emit(data, View(blocks=(sentence,), raw=()))
