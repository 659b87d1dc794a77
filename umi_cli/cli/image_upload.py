"""`umi image upload`: verify a package on the desk, send it, go on where an earlier run stopped."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from umi_cli.cli import image_view
from umi_cli.cli.base import command
from umi_cli.cli.context import App, pass_app
from umi_cli.cli.naming import naming_the_failure
from umi_cli.cli.params import BLOCK, SECONDS, TIME
from umi_cli.cli.settings import user_state
from umi_cli.errors import (
    InputError,
    LinkError,
    LostError,
    NoAnswerError,
    UploadInterruptedError,
    WrongTargetError,
)
from umi_cli.output.render import Table, View, timestamp

if TYPE_CHECKING:
    from umi_cli.device.image_upload import Running, UploadResult
    from umi_cli.device.meter import Meter
    from umi_cli.device.upload_journal import UploadJournal
    from umi_cli.images.header import ImageHeader, Version
    from umi_cli.images.upload import Transfer, UploadState
    from umi_cli.images.verify import ImageAuthority
    from umi_cli.types import UmiId

RESTART = "--restart"
EXAMPLES = """\
umi -p opto:/dev/ttyUSB0 image upload signed.umi --signer maker.cvc --anchor root.cvc
umi -p tcp:192.0.2.7:4059 image upload sealed.umi --signer maker.cvc --wait 60
umi -p sim:bench.json image upload old.umi --signer maker.cvc --allow-downgrade --reason test
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What the user says of an upload."""

    signer: str | None
    signer_key: str | None
    decrypt_key: str | None
    allow_downgrade: bool
    reason: str | None
    block: int | None
    restart: bool
    wait: float | None
    activate_at: datetime | None


@command(examples=EXAMPLES, lacks=("raw",))
@click.argument("path", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--signer", metavar="FILE", help="Certificate of who signed it; default: --cert")
@click.option("--signer-key", metavar="SOURCE", help="Role key, if it was signed under scheme 1")
@click.option("--decrypt-key", metavar="SOURCE", help="Opens an encrypted package on the desk")
@click.option("--allow-downgrade", is_flag=True, help="Send a version that is not newer")
@click.option("--reason", metavar="TEXT", help="Why: kept with the upload")
@click.option("--block", type=BLOCK, metavar="BYTES", help="Send no more at once; default: learned")
@click.option(RESTART, is_flag=True, help="Begin anew, whatever an earlier run has sent")
@click.option("--wait", type=SECONDS, metavar="SECONDS", help="Wait until the new version runs")
@click.option("--activate-at", type=TIME, metavar="TIME", help="Say only then that it is valid")
@pass_app
def upload(app: App, path: Path, **options: Any) -> None:
    """Verify a package on the desk, and upload it.

    Nothing leaves before form, hash, signature, target and version are right. What is interrupted
    ends with exit code 42, and the same command goes on where it was. A product goes to a Host
    whole; to a Peripheral whose Host we are goes the part that is for it.
    """
    wishes = Wishes(**options)
    if wishes.allow_downgrade and not wishes.reason:
        raise InputError("a downgrade wants a reason", hint='add --reason "why"')
    with _opened(path) as file:  # once: what is sent is what was verified
        was = _measure(file)
        with naming_the_failure():
            header = _verify(app, file, wishes)
        with app.connect() as meter:
            if _measure(file) != was:
                raise InputError(
                    f"{path} has changed since it was verified: nothing was sent",
                    hint="give the command again, once nobody writes to the file any more",
                )
            _upload(app, meter, file, path, header, wishes)


def _verify(app: App, file: BinaryIO, wishes: Wishes) -> "ImageHeader":
    """Verify a package without a device; return its header."""
    from umi_cli.images.package import PackageReader
    from umi_cli.images.verify import Demands, verify_package

    file.seek(0)
    header = _header_of(file)
    demands = Demands(at_s=_now_s())
    if header.sealing is not None and wishes.decrypt_key is None:
        from umi_cli.images.failures import refusing
        from umi_cli.images.verify import check_header

        check_header(header, demands)
        with refusing():
            PackageReader(file).read()
        app.note("it is encrypted: hash and signature are the device's to check")
        return header
    find_key = None
    if wishes.decrypt_key is not None:
        from umi_cli.cli.image_keys import finder

        find_key = finder(app, wishes.decrypt_key)
    verify_package(file, _authority(app, wishes), demands, find_key=find_key)
    return header


def _header_of(file: BinaryIO) -> "ImageHeader":
    from umi_cli.images.failures import refusing
    from umi_cli.images.package import PackageReader

    with refusing():
        header = PackageReader(file).header
    file.seek(0)
    return header


def _authority(app: App, wishes: Wishes) -> "ImageAuthority":
    """Return who is to have signed."""
    from umi_cli.certificates.trust import Trust
    from umi_cli.cli.cert_terms import now
    from umi_cli.cli.credentials import load_anchors, load_chain, load_key
    from umi_cli.crypto import AesKey
    from umi_cli.errors import KeyUnusableError
    from umi_cli.images.verify import CertifiedSigner, RoleKey

    settings = app.settings
    if wishes.signer_key is not None:
        key = load_key(settings, wishes.signer_key)
        if not isinstance(key, AesKey):
            raise KeyUnusableError("a role key is an AES-128 key, and this is a P-256 key")
        # `--role` is ours on the line; in which one the key's holder signed says the record.
        return RoleKey(role=None, key=key)
    source = wishes.signer or settings.cert
    trust = Trust(anchors=load_anchors(settings))
    if source is None or not trust.anchors:
        raise InputError(
            "nothing says who is to have signed the package, and who is to be trusted",
            hint="add --signer FILE, its signer's certificate, and --anchor FILE",
        )
    certificate, *others = load_chain(source)
    return CertifiedSigner(certificate=certificate, intermediates=others, trust=trust, at=now())


def _upload(
    app: App, meter: "Meter", file: BinaryIO, path: Path, header: "ImageHeader", wishes: Wishes
) -> None:
    from umi_cli.device.image_upload import Running, UploadResult, look_after, read_running

    device = meter.device_id
    before = read_running(meter)
    with naming_the_failure():
        file, header = _part_for(app, file, header, device)
    result = UploadResult(before=before, after=before)
    with naming_the_failure():
        own = _own_header(file, header, device, before.model)
        is_due = _is_due(header, own, device, before, wishes)
    if not is_due:
        app.note(f"{before.version} runs already: there is nothing to do")
        _forget(app, file, device)
    elif app.settings.dry_run:
        app.note("nothing was sent: --dry-run")
    else:
        assert device is not None  # noqa: S101 - `_is_due` has asked for it
        version = (own or header).label.version
        _send(app, meter, file, path, header, version, wishes, result, device)
        result.after = Running()  # what ran before is not what runs now
        try:
            look_after(meter, result, version, wait_s=wishes.wait or 0.0)
        finally:  # what is certain is told, whatever comes now
            _tell(app, path, header, result)
        return
    _tell(app, path, header, result)


def _own_header(
    file: BinaryIO, header: "ImageHeader", device: "UmiId | None", model: str | None
) -> "ImageHeader | None":
    """Return the header of the image for the device itself; None if there is none to be seen."""
    from umi_cli.images.header import ImageKind
    from umi_cli.images.parts import find_part

    if header.kind is not ImageKind.PRODUCT:
        return header
    if header.sealing is not None or device is None:
        return None
    try:
        return find_part(file, device, model)[1]
    except WrongTargetError:
        return None  # all of it is for others, to whom the Host hands it on


def _is_due(
    header: "ImageHeader",
    own: "ImageHeader | None",
    device: "UmiId | None",
    before: "Running",
    wishes: Wishes,
) -> bool:
    """Make sure that the package is for this device; tell whether it is newer than what runs.

    Raises:
        WrongTargetError: it is for others, or older.
        InputError: the device does not say who it is.
    """
    from umi_cli.images.verify import Demands, check_header

    if device is None:
        raise InputError(
            "the device does not say who it is: nobody can tell whether the package is for it",
            hint="act in a role that may read umi.0.0.0.0",
        )
    check_header(header, Demands(target=device))
    if own is None:  # a product has a model and a version of its own
        return True
    check_header(own, Demands(model=before.model))
    if wishes.allow_downgrade:
        return True
    if before.version == own.label.version:
        return False
    check_header(own, Demands(newer_than=before.version))
    return True


def _send(
    app: App,
    meter: "Meter",
    file: BinaryIO,
    path: Path,
    header: "ImageHeader",
    version: "Version",
    wishes: Wishes,
    result: "UploadResult",
    device: "UmiId",
) -> None:
    """Send the package, keeping how far it is."""
    from umi_cli.device import upload_journal
    from umi_cli.device.image_upload import first_block_bytes
    from umi_cli.images.upload import Transfer, UploadState

    length_bytes, sha256 = _measure(file)
    directory = state_directory(app.environment)
    journal = upload_journal.UploadJournal(directory, device, sha256, length_bytes)
    if wishes.restart:
        journal.forget()  # before the device does: it is never ahead
    state = journal.load()
    model = header.label.model
    size = first_block_bytes(meter, upload_journal.learned_block_bytes(directory, model))
    size = min(size, wishes.block or size)
    done_bytes = 0
    if state is None:  # before the first byte leaves, so that there is room for it
        _keep(journal, UploadState(block_bytes=size), wishes.reason)
    else:
        done_bytes = min(state.next_number * state.block_bytes, length_bytes)
        app.note(f"going on at byte {done_bytes}")
    progress = app.progress("upload", length_bytes, done=done_bytes)
    transfer = Transfer(
        file=file,
        length_bytes=length_bytes,
        sha256=sha256,
        request=lambda _: None,
        keep=lambda at: _keep(journal, at, wishes.reason),
        tell=progress.update,
    )
    with _resumable(app, path, journal):
        try:
            _run(app, meter, transfer, version, state, size, wishes, result)
        finally:
            progress.finish()
    journal.forget()
    if result.course.block_bytes < (state.block_bytes if state else size):
        upload_journal.learn_block_bytes(directory, model, result.course.block_bytes)
    if state is not None and result.course.starts:
        app.note("the device had forgotten the transfer: it was begun anew")


def _run(
    app: App,
    meter: "Meter",
    transfer: "Transfer",
    version: "Version",
    state: "UploadState | None",
    block_bytes: int,
    wishes: Wishes,
    result: "UploadResult",
) -> None:
    from umi_cli.device.image_upload import upload

    upload(
        meter,
        transfer,
        version=version,
        block_bytes=block_bytes,
        state=state,
        result=result,
        before_end=lambda: _wait_until(app, meter, wishes.activate_at),
        wait_s=wishes.wait or 0.0,
    )


@contextmanager
def _resumable(app: App, path: Path, journal: "UploadJournal") -> Iterator[None]:
    """Tell how to go on, should the transfer be interrupted; forget it, should it be refused."""
    from umi_cli.errors import ImageError, PacketTooLargeError, RefusedError

    try:
        yield
    except PacketTooLargeError:
        raise
    except (LostError, LinkError, NoAnswerError, KeyboardInterrupt) as error:
        why = "interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
        raise UploadInterruptedError(
            f"the upload of {path} has stopped: {why}",
            hint=f"go on with: {app.command_line(without=RESTART)}",
        ) from error
    except (ImageError, RefusedError):
        journal.forget()
        raise


def _forget(app: App, file: BinaryIO, device: "UmiId | None") -> None:
    """Forget what is left of an upload whose image runs: it would say that the device has it all.

    It is left by a run that was killed, or that lost the device, after the last block.
    """
    from umi_cli.device.upload_journal import UploadJournal

    if device is not None and not app.settings.dry_run:
        length_bytes, sha256 = _measure(file)
        UploadJournal(state_directory(app.environment), device, sha256, length_bytes).forget()


def _keep(journal: "UploadJournal", state: "UploadState", reason: str | None) -> None:
    try:
        journal.keep(state, reason)
    except OSError as error:
        raise InputError(
            f"how far the upload is cannot be kept: {error.strerror or error}",
            hint="make room, or name another place with XDG_STATE_HOME",
        ) from error


def _wait_until(app: App, meter: "Meter", moment: datetime | None) -> None:
    """Hold back that the image is valid until a moment of the host's clock."""
    if moment is None:
        return
    clock = meter.transport.clock
    app.note(f"the device has everything; it is told that it is valid at {timestamp(moment)}")
    while (left_s := moment.timestamp() - clock.utc()) > 0:
        meter.session.listen(min(left_s, 5.0))


def _part_for(
    app: App, file: BinaryIO, header: "ImageHeader", device: "UmiId | None"
) -> "tuple[BinaryIO, ImageHeader]":
    """Return what is sent: the package, or the part of a product for a Peripheral of ours."""
    from umi_cli.images.header import ImageKind

    is_host = (app.settings.port or "").startswith("spi:")
    if header.kind is not ImageKind.PRODUCT or not is_host or device is None:
        return file, header
    from umi_cli.images.parts import find_part

    part, label = find_part(file, device)
    app.note(f"of the product, the part for {label.label.targets} goes to {device}")
    return part, label


def _measure(file: BinaryIO) -> tuple[int, bytes]:
    """Return the length and the SHA-256 of all of a file."""
    from umi_cli.crypto import Sha256

    digest, length_bytes = Sha256(), 0
    file.seek(0)
    while piece := file.read(65_536):
        digest.update(piece)
        length_bytes += len(piece)
    return length_bytes, digest.finish()


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    with file:
        yield file


def state_directory(environment: Mapping[str, str]) -> Path:
    """Return where uploads are kept."""
    return user_state(environment) / "uploads"


def _now_s() -> int:
    from umi_cli.cli.cert_terms import now
    from umi_cli.types import from_datetime

    return from_datetime(now())


def _tell(app: App, path: Path, header: "ImageHeader", result: "UploadResult") -> None:
    course = result.course
    data = {
        "file": str(path),
        "package": image_view.record_of(header),
        "before": _version(result.before.version),
        "accepted": result.is_accepted,
        "activated": result.is_activated,
        "running": _version(result.after.version),
        "slot": result.after.slot,
        "resumed_at": course.resumed_at,
        "starts": course.starts,
        "repeats": course.repeats,
        "block_bytes": course.block_bytes,
    }
    words = {True: "yes", False: "no", None: "not known"}
    rows = {
        "package": f"{header.label.model} {header.label.version}",
        "before": data["before"],
        "accepted": words[result.is_accepted],
        "activated": words[result.is_activated],
        "running version": data["running"],
    }
    app.emit(data, View(blocks=[Table.pairs(rows)]))


def _version(version: "Version | None") -> str | None:
    return None if version is None else str(version)
