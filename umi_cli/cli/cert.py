"""`umi cert`: certificates on the desk: made, asked for, issued, shown, verified."""

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from umi_cli.cli import cert_files, cert_terms, cert_view
from umi_cli.cli.base import group
from umi_cli.cli.cert_terms import Given, term_options
from umi_cli.cli.context import App, pass_app
from umi_cli.cli.naming import naming_the_failure
from umi_cli.cli.params import TIME, UMI_ID, Parsed
from umi_cli.errors import InputError
from umi_cli.output.render import View

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Unpack

    from umi_cli.certificates.cvc import Certificate
    from umi_cli.certificates.issue import Terms
    from umi_cli.cli.cert_policy import PolicyFile
    from umi_cli.types import UmiId

ROOT_DAYS = 3650
LEAF_DAYS = 365

EXAMPLES = """\
umi cert new root.cvc --key root.pem --subject 00237EFE000000A0
umi cert request office.req --key office.pem --subject 00237EFE00000004 --issuer 00237EFE000000A0
umi cert issue office.req office.cvc --key root.pem --issuer-cert root.cvc --role service
umi cert show office.cvc
umi cert verify office.cvc --anchor root.cvc
"""
NEW, REQUEST, ISSUE, SHOW, VERIFY = EXAMPLES.splitlines()
ISSUE_MORE = """\
umi cert issue sub.req sub.cvc --key root.pem --issuer-cert root.cvc --authority --signing-roles 4,5
umi cert issue office.req office.cvc --policy policy.toml --issuer-cert root.cvc --role service \\
    --key "pkcs11:token=umi;object=root?module-path=/usr/lib/softhsm/libsofthsm2.so"
"""
REGISTER = """\
umi cert verify-register issued.jsonl
umi cert verify-register issued.jsonl --was "$KEPT"
"""

_HEAD = re.compile(r"([0-9]{1,12}):([0-9a-f]{64})", re.ASCII)


def _head(text: str) -> tuple[int, str]:
    match = _HEAD.fullmatch(text.strip().lower())
    if match is None:
        raise InputError(
            f"{text!r:.90} is no head of a register", hint="write ENTRY:HASH, as they were shown"
        )
    return int(match[1]), match[2]


_subject = click.option("--subject", type=UMI_ID, metavar="ID", help="Whose it is; or --umi-id")


@group(examples=EXAMPLES)
def cert() -> None:
    """Make, request, issue, show and verify certificates."""


@cert.command(examples=NEW)
@click.argument("path", metavar="FILE")
@_subject
@term_options
@pass_app
def new(app: App, path: str, subject: "UmiId | None", **given: "Unpack[Given]") -> None:
    """Make the self-signed certificate of a signing authority: a trust anchor.

    The key is --key. It may issue and hand on all roles, for all devices, during 3650 days, unless
    options say otherwise. FILE may be - for stdout.
    """
    from umi_cli.certificates.authorisation import EVERY_TARGET
    from umi_cli.certificates.issue import issue_root
    from umi_cli.cli.credentials import load_signer
    from umi_cli.types import RoleSet

    everyone = RoleSet.everyone()
    rights = cert_terms.authority_rights(given, EVERY_TARGET, everyone, everyone)
    terms = cert_terms.terms_of(given, rights, days=ROOT_DAYS)
    made = issue_root(_whose(app, subject), terms, signer=load_signer(app.settings))
    cert_files.give(app, path, cert_view.record_of(made, cert_terms.now()))


@cert.command(examples=REQUEST)
@click.argument("path", metavar="FILE")
@_subject
@click.option("--issuer", type=UMI_ID, metavar="ID", required=True, help="Who is to issue it")
@pass_app
def request(app: App, path: str, subject: "UmiId | None", issuer: "UmiId") -> None:
    """Ask for a certificate of the key at --key, and prove that you hold it.

    FILE may be - for stdout.
    """
    from umi_cli.certificates.request import CertificateRequest
    from umi_cli.cli.credentials import load_signer

    signer = load_signer(app.settings)
    made = CertificateRequest.create(signer, issuer=issuer, subject=_whose(app, subject))
    cert_files.give(app, path, cert_view.request_record(made))


@cert.command(examples=f"{ISSUE}\n{ISSUE_MORE}")
@click.argument("asked", metavar="REQUEST")
@click.argument("path", metavar="OUT")
@click.option("--issuer-cert", metavar="FILE", required=True, help="The authority's certificate")
@click.option("--authority", is_flag=True, help="Make the holder a signing authority as well")
@click.option("--policy", metavar="FILE", help="What the authority allows itself to issue")
@click.option("--operator", metavar="NAME", help="Who issues, for the register; default: the user")
@term_options
@pass_app
def issue(
    app: App,
    asked: str,
    path: str,
    issuer_cert: str,
    authority: bool,
    policy: str | None,
    operator: str | None,
    **given: "Unpack[Given]",
) -> None:
    """Answer a certificate request, with a certificate that the authority's --key signs.

    It is for --role, or with --authority for --signing-roles; for the devices that the authority's
    own is for; for 365 days, or as long as the authority's; unless options say otherwise. REQUEST
    and OUT may be -. A chain is certificates one after the other, own first, without the root:
    cat own.cvc sub.cvc > chain.cvc

    A policy is TOML: register = "issued.jsonl", roles = ["service"], and the tables [lifetime]
    max-days and default-days, [targets] and [subjects] min and max, [subordinates] signing-roles
    and devolvable-roles. What it does not allow is refused. Each certificate is entered into the
    register, beside the policy, before it is written; no serial number in it is given again.
    """
    from umi_cli.certificates import issue as issuing
    from umi_cli.cli.cert_policy import load_policy
    from umi_cli.cli.credentials import load_chain, load_request, load_signer

    if policy is None and operator is not None:
        raise InputError("nobody asks for the operator", hint="add --policy FILE, or leave it out")
    rules = None if policy is None else load_policy(policy)
    issuer, wish = load_chain(issuer_cert)[0], load_request(asked)
    terms = _terms(app, given, issuer, rules, authority=authority)
    if rules is not None:
        rules.policy.check(wish.subject, terms)
    signer = load_signer(app.settings)

    def make(terms: "Terms") -> "Certificate":
        with naming_the_failure():
            return issuing.issue(wish, terms, issuer=issuer, signer=signer)

    if rules is None:
        cert_files.give(app, path, cert_view.record_of(make(terms), cert_terms.now()))
    else:
        is_chosen = given["serial"] is not None
        _give_registered(app, path, rules, make, terms, is_chosen=is_chosen, operator=operator)


def _terms(
    app: App,
    given: Given,
    issuer: "Certificate",
    rules: "PolicyFile | None",
    *,
    authority: bool,
) -> "Terms":
    """Return the terms as the options say; else as the policy, if there is one, and the issuer."""
    widest = issuer.body.authorisation.targets
    widest = widest if rules is None else rules.policy.narrow(widest)
    if authority:
        rights = cert_terms.authority_rights(given, widest)
    else:
        rights = cert_terms.role_rights(given, widest, app.settings.role)
    days = LEAF_DAYS if rules is None else rules.policy.default_days
    return cert_terms.terms_of(given, rights, days=days, latest=issuer.body.valid_until)


def _give_registered(
    app: App,
    path: str,
    rules: "PolicyFile",
    make: "Callable[[Terms], Certificate]",
    terms: "Terms",
    *,
    is_chosen: bool,
    operator: str | None,
) -> None:
    """Enter a certificate into the register, and only then write it.

    Args:
        make: signs a certificate on such terms.
        is_chosen: the serial number is the user's choice.
    """
    from umi_cli.cli.cert_policy import issue_registered

    is_there = cert_files.check_place(app, path)  # nothing is entered that nobody could write
    at = cert_terms.now()
    done = issue_registered(
        app, rules.register, make, terms, is_chosen=is_chosen, time=at, operator=operator
    )
    record = cert_view.record_of(done.certificate, at)
    record |= {"register": str(rules.register), "entry": done.entry, "head": done.head}
    try:
        cert_files.give(app, path, record, is_there=is_there)
    except InputError as error:
        error.hint = f"entry {done.entry} of the register stays; issue once more, elsewhere"
        raise


@cert.command("verify-register", examples=REGISTER)
@click.argument("path", metavar="FILE")
@click.option("--was", type=Parsed("head", _head), metavar="ENTRY:HASH", help="A head of before")
@pass_app
def verify_register(app: App, path: str, was: tuple[int, str] | None) -> None:
    """Verify that no line of a register of certificates was changed, and print its head.

    The head is the last entry's number and SHA-256. Keep it elsewhere: with --was, entries that
    were cut off at the end are missed as well. The first line that does not fit is named, and the
    exit code is 52.
    """
    from umi_cli.cli.cert_policy import read_register, torn_warning

    register = read_register(path)
    if was is not None:
        register.check_head(*was)
    if register.torn:
        app.warn(torn_warning(path, register))
    record = {"file": path, "entries": register.count, "head": register.head}
    app.emit({**record, "torn": register.torn})


@cert.command(examples=SHOW + "\numi cert show chain.cvc root.cvc --json")
@click.argument("paths", metavar="FILE...", nargs=-1, required=True)
@pass_app
def show(app: App, paths: tuple[str, ...]) -> None:
    """Show every field of certificates; a file may hold a chain, and - is stdin.

    Nothing is verified but the signature of a self-signed one: see umi cert verify.
    """
    from umi_cli.cli.credentials import load_chain

    at = cert_terms.now()
    records = [
        {"file": path, **cert_view.record_of(certificate, at)}
        for path in paths
        for certificate in load_chain(path)
    ]
    blocks = [cert_view.pairs(record) for record in records]
    raw = [record["raw"] for record in records]
    app.emit(records, View(blocks=blocks, csv=cert_view.rows(records), raw=raw))


@cert.command(examples=VERIFY + "\numi cert verify chain.cvc --anchor root.cvc --role service")
@click.argument("path", metavar="FILE")
@click.option(
    "--intermediate", metavar="FILE", multiple=True, help="Certificates between; repeatable"
)
@click.option("--at", type=TIME, metavar="TIME", help="When it is to hold; default: now")
@click.option("--target", type=UMI_ID, metavar="ID", help="The device it is to be good for")
@pass_app
def verify(
    app: App, path: str, intermediate: tuple[str, ...], at: datetime | None, target: "UmiId | None"
) -> None:
    """Verify that a certificate leads to an --anchor, and print the path to it.

    FILE may hold a chain, own first, and be -. With --role it must be for that role. Whoever is
    not trusted ends with exit code 24, and the failure is named.
    """
    from umi_cli.certificates.chain import verify_chain
    from umi_cli.certificates.trust import ChainError, ChainFailure, Purpose, Trust
    from umi_cli.cli.credentials import load_anchors, load_chain

    at = at or cert_terms.now()
    leaf, *others = load_chain(path)
    others += [each for name in intermediate for each in load_chain(name)]
    trust = Trust(anchors=load_anchors(app.settings))
    if not trust.anchors:
        raise InputError("nothing says who is to be trusted", hint="add --anchor FILE")
    purpose = Purpose(target=target, role=app.settings.role)
    with naming_the_failure():
        try:
            found = verify_chain(leaf, others, trust=trust, at=at, purpose=purpose)
        except ChainError as error:
            _tell(app, at, [], error.failure.value)
            if error.failure is ChainFailure.UNKNOWN_ISSUER:
                error.hint = "name what stands between with --intermediate FILE"
            raise
    _tell(app, at, [cert_view.record_of(each, at) for each in found], None)


def _tell(app: App, at: datetime, path: list[dict[str, Any]], failure: str | None) -> None:
    """Give what a verification came to."""
    data = {"trusted": failure is None, "failure": failure, "at": at, "path": path}
    if failure is not None:
        app.emit(data, View(blocks=(f"not trusted: {failure}",), csv=cert_view.rows([]), raw=()))
        return
    table = cert_view.rows(path)
    raw = [record["raw"] for record in path]
    app.emit(data, View(blocks=("trusted, from the holder to the anchor:", table), raw=raw))


def _whose(app: App, subject: "UmiId | None") -> "UmiId":
    found = subject or app.settings.umi_id
    if found is None:
        raise InputError("nobody is named whose it is", hint="add --subject ID")
    return found
