"""`umi image`: image packages on the desk: built, shown, verified, signed, encrypted."""

import contextlib
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from umi_cli.cli import cert_terms, image_view
from umi_cli.cli.base import group
from umi_cli.cli.context import App, pass_app
from umi_cli.cli.image_files import reading, writing
from umi_cli.cli.image_terms import VERSION, Given, label_of, label_options
from umi_cli.cli.image_upload import upload
from umi_cli.cli.naming import naming_the_failure
from umi_cli.cli.params import TIME, UMI_ID
from umi_cli.errors import ImageError, InputError
from umi_cli.output.render import Table, View, timestamp

if TYPE_CHECKING:
    from typing import Unpack

    from umi_cli.images.header import ImageHeader, ImageLabel, Version
    from umi_cli.images.package import Contents
    from umi_cli.images.verify import Verified
    from umi_cli.types import UmiId

MAX_KEY_ID = 0xFFFF_FFFF

BUILD = """\
umi image build firmware.bin app.umi --model EISGMv0 --version 1.5.0 \
--target-min 00237EFE00000000 --target-max 00237EFE0000FFFF
umi image build --product host.umi modem.umi all.umi --model EISGMv0 --version 1.5.0 \
--target-min 00237EFE00000000 --target-max 00237EFE0000FFFF
"""
SIGN = """\
umi image sign app.umi --out signed.umi --key own.pem --cert own.cvc
umi image sign app.umi --out signed.umi --scheme 1 --role software-provider --key aes.key
umi image sign app.umi --tbs app.tbs --cert own.cvc
umi image sign app.umi --attach app.sig --out signed.umi --cert own.cvc
"""
ENCRYPT = """\
umi image encrypt signed.umi out.umi --to meter.cvc --anchor root.cvc
umi image encrypt signed.umi out.umi --transport-key transport.key --transport-key-id 7
"""
SHOW = """\
umi image show out.umi
umi image show out.umi --json
"""
VERIFY = """\
umi image verify signed.umi --cert own.cvc --anchor root.cvc --target 00237EFE00000001
umi image verify signed.umi --scheme 1 --role software-provider --key aes.key --newer-than 1.4.2
umi image verify out.umi --cert own.cvc --anchor root.cvc --decrypt-key meter.pem
"""
EXAMPLES = "".join(
    text.splitlines(keepends=True)[0] for text in (BUILD, SIGN, ENCRYPT, SHOW, VERIFY)
)


@group(examples=EXAMPLES)
def image() -> None:
    """Build, show, verify, sign and encrypt image packages."""


@image.command(examples=BUILD)
@click.argument("paths", metavar="IMAGE... OUT", nargs=-1, required=True)
@click.option("--product", is_flag=True, help="Each IMAGE is a device package of a product")
@label_options
@pass_app
def build(app: App, paths: tuple[str, ...], product: bool, **given: "Unpack[Given]") -> None:
    """Make the package of an image, or with --product of the packages of a product's devices.

    The same image and options make the same bytes, if --built or SOURCE_DATE_EPOCH says when.
    IMAGE and OUT may be -, but for the packages of a product.
    """
    label = label_of(app, given)
    *images, out = paths
    if not images or (len(images) > 1 and not product):
        raise InputError(
            "one image makes one package",
            hint="write: umi image build IMAGE OUT; several packages make one with --product",
        )
    with naming_the_failure():
        header, parts = _build(app, images, out, label, product)
    for path, part in zip(images, parts, strict=False):
        if not part.header.is_signed:
            app.warn(f"{path} is not signed: the device that it is for will not take it")
    _give(app, out, image_view.record_of(header))


def _build(
    app: App, images: list[str], out: str, label: "ImageLabel", product: bool
) -> "tuple[ImageHeader, tuple[Contents, ...]]":
    from umi_cli.images.build import build_device, build_product

    with contextlib.ExitStack() as stack:
        sources = [stack.enter_context(reading(path)) for path in images]
        file = stack.enter_context(writing(app, out))
        if product:
            return build_product(sources, file, label)
        return build_device(sources[0], file, label), ()


@image.command(examples=SHOW)
@click.argument("path", metavar="FILE")
@pass_app
def show(app: App, path: str) -> None:
    """Show what a package says, and what of its contents can be seen.

    No key is needed, and nothing is verified but form, lengths and hashes: see umi image verify.
    FILE may be -.
    """
    from umi_cli.images.failures import refusing
    from umi_cli.images.package import PackageReader

    with naming_the_failure(), refusing(), reading(path) as source:
        contents = PackageReader(source).read()
    record = {"file": path, **image_view.contents_of(contents)}
    if False in [each.has_right_hash for each in (contents, *contents.parts)]:
        app.warn("an image is not the one that its header names: its hash is another")
    app.emit(record, image_view.view_of(record))


@image.command(examples=SIGN)
@click.argument("path", metavar="PACKAGE")
@click.option("--out", metavar="FILE", help="Where the signed package goes")
@click.option("--tbs", metavar="FILE", help="Only write what is to be signed, for a key elsewhere")
@click.option(
    "--attach", metavar="FILE", help="A signature made elsewhere: DER, or r and s, in bytes or hex"
)
@pass_app
def sign(app: App, path: str, out: str | None, tbs: str | None, attach: str | None) -> None:
    """Sign a package with --key, for the role of --cert.

    A key that is elsewhere, in a token or with somebody else, signs what --tbs writes, under
    ECDSA with P-256 and SHA-256; --attach takes its signature and verifies it against --cert.
    PACKAGE and the files that are written may be -.
    """
    if tbs is not None and (out or attach):
        raise InputError("--tbs writes no package", hint="leave --out and --attach out")
    if tbs is not None:
        _write_to_be_signed(app, path, tbs)
        return
    if out is None:
        raise InputError("nothing says where it goes", hint="add --out FILE, or --tbs FILE")
    from umi_cli.cli import image_keys

    with naming_the_failure():
        stamp = image_keys.attached_stamp(app, attach) if attach else image_keys.own_stamp(app)
        with reading(path) as source, writing(app, out) as file:
            header = stamp.sign(source, file)
    more = {"signature_scheme": stamp.scheme, "role": image_view.role_of(stamp.role)}
    _give(app, out, {**image_view.record_of(header), **more})


def _write_to_be_signed(app: App, path: str, tbs: str) -> None:
    from umi_cli.cli import image_keys
    from umi_cli.images.signing import write_to_be_signed

    with naming_the_failure():
        role, certificate = image_keys.signing_role(app)
        with reading(path) as source, writing(app, tbs) as file:
            header, digest = write_to_be_signed(source, file, role=role)
            image_keys.check_reach(certificate, header)
            length_bytes = file.tell()
    if tbs == "-":
        app.note(f"its SHA-256 is {digest.hex()}")
        return
    record: dict[str, Any] = {"file": tbs, "role": image_view.role_of(role)}
    record |= {"length_bytes": length_bytes, "sha256": digest}
    _note_dry_run(app)
    app.emit(record, View(blocks=(image_view.pairs(record),)))


@image.command(examples=ENCRYPT)
@click.argument("path", metavar="PACKAGE")
@click.argument("out", metavar="OUT")
@click.option("--to", metavar="FILE", help="Certificate of the device that alone is to open it")
@click.option("--transport-key", metavar="SOURCE", help="A transport key that devices have")
@click.option(
    "--transport-key-id",
    type=click.IntRange(0, MAX_KEY_ID),
    metavar="N",
    help="By what they know it",
)
@pass_app
def encrypt(
    app: App,
    path: str,
    out: str,
    to: str | None,
    transport_key: str | None,
    transport_key_id: int | None,
) -> None:
    """Encrypt a signed package to one device's certificate, or with a transport key.

    With --anchor the certificate is verified first: who is not the device must not read the image.
    A transport key is an AES-128 key as umi key new --type aes128 makes one. PACKAGE and OUT may
    be -.
    """
    from umi_cli.cli import image_keys
    from umi_cli.images.encryption import encrypt_package

    if (to is None) == (transport_key is None):
        raise InputError("for whom is it", hint="add --to FILE, or --transport-key SOURCE")
    if (transport_key is None) != (transport_key_id is None):
        raise InputError("--transport-key and --transport-key-id go together", hint="give both")
    recipient = None
    with naming_the_failure():
        if to is not None:
            recipient, sealing, key = image_keys.seal_to_device(app, to)
        else:
            sealing, key = image_keys.seal_with(app, transport_key or "", transport_key_id or 0)
        with reading(path) as source, writing(app, out) as file:
            header = encrypt_package(source, file, sealing, key)
    if recipient is not None and recipient not in header.label.targets:
        app.warn(f"the package is for {header.label.targets}, and {recipient} is not among them")
    _give(app, out, image_view.record_of(header))


image.add_command(upload)


@image.command(examples=VERIFY)
@click.argument("path", metavar="FILE")
@click.option(
    "--intermediate", metavar="FILE", multiple=True, help="Certificates between; repeatable"
)
@click.option("--target", type=UMI_ID, metavar="ID", help="The device that is to take it")
@click.option("--model", metavar="MODEL", help="The model of the device")
@click.option("--newer-than", type=VERSION, metavar="X.Y.Z", help="What the device runs")
@click.option("--at", type=TIME, metavar="TIME", help="When it is to be taken; default: now")
@click.option(
    "--decrypt-key", metavar="SOURCE", help="Opens it: the device's own key, or a transport key"
)
@pass_app
def verify(
    app: App,
    path: str,
    intermediate: tuple[str, ...],
    target: "UmiId | None",
    model: str | None,
    newer_than: "Version | None",
    at: datetime | None,
    decrypt_key: str | None,
) -> None:
    """Verify a package as a device does before it takes it.

    Its signer's certificate is not in it: --cert names it, perhaps in a chain, own first, which
    must lead to an --anchor. Under --scheme 1 the role's --key verifies it. FILE may be -. What
    is refused ends with exit code 40, or 41 if only the target or the version is wrong, or 24 if
    the signer is not trusted; the reason is named.
    """
    from umi_cli.certificates.trust import ChainError
    from umi_cli.cli import image_keys
    from umi_cli.images.verify import Demands, verify_package
    from umi_cli.types import from_datetime

    at = at or cert_terms.now()
    authority = image_keys.authority(app, intermediate, at)
    find_key = image_keys.finder(app, decrypt_key) if decrypt_key else None
    demands = Demands(target=target, model=model, newer_than=newer_than, at_s=from_datetime(at))
    with naming_the_failure(), reading(path) as source:
        try:
            found = verify_package(source, authority, demands, find_key=find_key)
        except ImageError as error:
            _tell_refusal(app, path, at, error.reason)
            raise
        except ChainError as error:
            _tell_refusal(app, path, at, f"signer-{error.failure.value}")
            raise
    _tell(app, path, at, found)


def _tell_refusal(app: App, path: str, at: datetime, failure: str) -> None:
    data = {
        "file": path,
        "valid": False,
        "failure": failure,
        "at": at,
        "package": None,
        "signer": [],
    }
    csv = image_view.rows([])
    app.emit(data, View(blocks=(f"not to be installed: {failure}",), csv=csv, raw=()))


def _tell(app: App, path: str, at: datetime, found: "Verified") -> None:
    from umi_cli.cli import cert_view

    record = image_view.contents_of(found.contents)
    signer = [cert_view.record_of(each, at) for each in found.path]
    data = {
        "file": path,
        "valid": True,
        "failure": None,
        "at": at,
        "package": record,
        "signer": signer,
    }
    rows = [record, *record["parts"]]
    blocks: list[Table | str] = [f"valid at {timestamp(at)}:", image_view.rows(rows, first=0)]
    if signer:
        blocks += ["signed by, up to the anchor:", cert_view.rows(signer)]
    raw = [record["header"]]
    app.emit(data, View(blocks=blocks, csv=image_view.rows(rows, first=0), raw=raw))


def _give(app: App, path: str, record: dict[str, Any]) -> None:
    """Tell what was written into a file; what went to stdout stands there already."""
    if path != "-":
        record = {"file": path, **record}
        _note_dry_run(app)
        app.emit(record, image_view.view_of(record))


def _note_dry_run(app: App) -> None:
    if app.settings.dry_run:
        app.note("nothing was written: --dry-run")
