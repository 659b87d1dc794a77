"""From a plan to all that it needs: keys, certificates, values, the image; each looked at first."""

from datetime import timedelta
from typing import TYPE_CHECKING

from umi_cli.cli.cert_terms import now
from umi_cli.cli.credentials import load_chain, load_key
from umi_cli.errors import InputError, KeyUnusableError, UmiError

if TYPE_CHECKING:
    from umi_cli.certificates.issue import Terms
    from umi_cli.cli.context import App
    from umi_cli.crypto import Signer
    from umi_cli.device.credentials import Scheme2Credentials
    from umi_cli.images.header import ImageHeader
    from umi_cli.provision.line import Authority, Line
    from umi_cli.provision.plan import Plan
    from umi_cli.provision.run import UploadImage


def line_of(app: "App", plan: "Plan") -> "Line":
    """Find everything that a plan names.

    Raises:
        UmiError: something is missing, unreadable, contradicts the rest, or does not fit.
    """
    from umi_cli.certificates.authorisation import StandardAuthorisation
    from umi_cli.provision.line import Line, Opened, Tested, Written, resolved, written
    from umi_cli.provision.pools import SERIAL, UMI_ID, Pool
    from umi_cli.types import Role, UmiId

    catalogue, identity = app.catalogue, plan.identity
    authority = _authority(app, plan)
    station = _station(app, plan, authority)
    rights = station.certificate.body.authorisation
    if not isinstance(rights, StandardAuthorisation) or rights.role is not Role.MANUFACTURER:
        raise InputError(
            f"{plan.station_cert} is no manufacturer's: it may not equip a unit",
            hint="issue the station a certificate for the role manufacturer",
        )
    umi_ids = "..".join(map(str, identity.umi_ids))
    serials = "..".join(identity.serials)
    trusted = tuple(each for path in plan.trusted for each in load_chain(str(path)))
    package = _package(plan)
    line = Line(
        plan=plan,
        catalogue=catalogue,
        authority=authority,
        station=station,
        trusted=trusted,
        umi_ids=Pool.parse(f"{plan.name}: UMI IDs", UMI_ID, umi_ids),
        serials=Pool.parse(
            f"{plan.name}: serial numbers",
            SERIAL,
            [each["serial"] for each in plan.given] or serials,
        ),
        listed={
            each["serial"]: str(UmiId.parse(each["umi_id"]))
            for each in plan.given
            if "umi_id" in each
        },
        terms=lambda serial: _terms(plan, authority, serial),
        image=None if package is None else _header_of(package),
        package=package or b"",
        writes=tuple(
            Written(part=part, raw=raw)
            for part, raw in (written(catalogue, each) for each in plan.writes)
        ),
        accesses=tuple(
            Opened(part=resolved(catalogue, each), read=each.read, write=each.write)
            for each in plan.accesses
        ),
        tests=tuple(
            Tested(part=part, raw=raw)
            for part, raw in (written(catalogue, each) for each in plan.tests)
        ),
    )
    _check_identity(line)
    return line


def _check_identity(line: "Line") -> None:
    """Make sure that the plan's units can be called what they are to be called."""
    from umi_cli.provision.line import IDENTITY_OBJECT

    part = line.catalogue.resolve(IDENTITY_OBJECT)
    serials = [each["serial"] for each in line.plan.given] or [line.plan.identity.serials[0]]
    for serial in serials:
        try:
            line.catalogue.encode(part, line.identity(serial))
        except UmiError as error:
            raise line.plan.fault("serials", f"{serial}: {error}") from error


def _authority(app: "App", plan: "Plan") -> "Authority":
    from umi_cli.certificates.chain import verify_chain
    from umi_cli.certificates.trust import Anchor, Trust
    from umi_cli.provision.line import Authority

    chain = load_chain(str(plan.authority.chain))
    [anchor] = load_chain(str(plan.authority.anchor))[:1]
    signer = _signer(app, plan.authority.key, "authority.key")
    if chain[0].body.public_point != signer.public_point:
        raise KeyUnusableError(
            f"authority.key is not the key of {plan.authority.chain}",
            hint="name the key that the first certificate of the chain certifies",
        )
    verify_chain(chain[0], chain[1:], trust=Trust(anchors=(Anchor.of(anchor),)), at=now())
    is_root = chain[0].encode() == anchor.encode()
    return Authority(signer=signer, chain=() if is_root else chain, anchor=anchor)


def _station(app: "App", plan: "Plan", authority: "Authority") -> "Scheme2Credentials":
    from umi_cli.certificates.trust import Anchor, Trust
    from umi_cli.device.credentials import Scheme2Credentials

    chain = load_chain(str(plan.station_cert))
    signer = _signer(app, plan.station_key, "station.key")
    if chain[0].body.public_point != signer.public_point:
        raise KeyUnusableError(
            f"station.key is not the key of {plan.station_cert}",
            hint="name the key that its certificate certifies",
        )
    trust = Trust(anchors=(Anchor.of(authority.anchor),))
    return Scheme2Credentials(signer=signer, chain=chain, trust=trust)


def _signer(app: "App", source: str, what: str) -> "Signer":
    from umi_cli.crypto import AesKey

    key = load_key(app.settings, source)
    if isinstance(key, AesKey):
        raise KeyUnusableError(f"{what} is an AES key, and a P-256 key is due")
    return key


def _terms(plan: "Plan", authority: "Authority", serial: bytes) -> "Terms":
    from umi_cli.certificates.authorisation import EVERY_TARGET, StandardAuthorisation
    from umi_cli.certificates.issue import Terms

    begins, latest = now(), authority.certificate.body.valid_until
    return Terms(
        serial=serial,
        valid_from=begins,
        valid_until=min(begins + timedelta(days=plan.authority.days), latest),
        authorisation=StandardAuthorisation(targets=EVERY_TARGET, role=plan.authority.role),
    )


def _package(plan: "Plan") -> bytes | None:
    """Return the bytes of the plan's package, once: a file that is replaced is another plan's."""
    if plan.image is None:
        return None
    try:
        return plan.image.read_bytes()
    except OSError as error:
        message = f"{plan.image} cannot be read: {error.strerror or error}"
        raise plan.image_fault("file", message) from error


def _header_of(package: bytes) -> "ImageHeader":
    """Return the header of a package that is whole."""
    from io import BytesIO

    from umi_cli.images.failures import refusing
    from umi_cli.images.package import PackageReader

    with refusing():
        reader = PackageReader(BytesIO(package))
        reader.read()
    return reader.header


def uploader(app: "App", line: "Line") -> "UploadImage":
    """Return what uploads the plan's image to a unit."""
    from io import BytesIO

    from umi_cli.crypto import sha256
    from umi_cli.device.image_upload import UploadResult, first_block_bytes, read_running, upload
    from umi_cli.device.meter import Meter
    from umi_cli.images.upload import Transfer

    package, image = line.package, line.image
    digest = sha256(package)

    def send(meter: Meter) -> None:
        if image is None:
            return
        transfer = Transfer(
            file=BytesIO(package),
            length_bytes=len(package),
            sha256=digest,
            request=lambda _: None,
        )
        upload(
            meter,
            transfer,
            version=image.label.version,
            block_bytes=first_block_bytes(meter, None),
            state=None,
            result=UploadResult(before=read_running(meter)),
        )

    return send
