"""What is in an image package, and is it as long as it says? (protocol 7)

A package is read once, from its head to its end, in pieces. Whoever wants the image listens while
it passes by, and believes nothing of it before `PackageReader.read` has returned.
"""

from dataclasses import dataclass, field

from umi_cli import crypto
from umi_cli.crypto import AesKey
from umi_cli.errors import MalformedError, SignatureError
from umi_cli.images.failures import ImageFailure, LengthError, refusal
from umi_cli.images.header import ImageHeader, ImageKind, read_header
from umi_cli.images.streams import Listener, Source, Window, take, take_up_to
from umi_cli.security.signatures import ImageSignature
from umi_cli.wire import Reader

# choice: protocol 7 sets no bound; a Host and its fifteen ports, each in four models, is plenty,
# and a hostile product cannot make us keep millions of headers.
MAX_PARTS = 64

_RECORD_BYTES = (19, 75)  # protocol 5: scheme 1, scheme 2
PART_HEAD_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What was in a package that is as long as it says."""

    header: ImageHeader
    length_bytes: int
    """Of the whole package."""
    sha256: bytes | None = field(repr=False)
    """Of the image that came; None if it is encrypted, and nobody opened it."""
    record: ImageSignature | None
    """Not verified; None if the package is not signed, or nobody opened it."""
    parts: tuple["Contents", ...] = ()
    """The device packages of a product; none if nobody opened it."""

    @property
    def has_right_hash(self) -> bool | None:
        """Tell whether the image is the one that the header names; None if nobody can tell."""
        return None if self.sha256 is None else self.sha256 == self.header.image_sha256

    def check_hash(self) -> None:
        """Make sure that the image, and that of each part, is the one that its header names.

        Raises:
            ImageInvalidError: one is not.
        """
        for number, contents in enumerate((self, *self.parts)):
            if contents.has_right_hash is False:
                where = f"the image of part {number}" if number else "the image"
                raise refusal(
                    ImageFailure.WRONG_HASH, f"{where} is not the one that its header names"
                )


class PackageReader:
    """A package that is read once.

    Args:
        source: where it comes from; the package is all that is there.

    Raises:
        MalformedError: it begins with no header.
    """

    def __init__(self, source: Source) -> None:
        self.header = read_header(source)
        self._source = source
        self._opener: crypto.GcmOpener | None = None

    def open(self, key: AesKey) -> None:
        """Have an encrypted package decrypted while it is read."""
        sealing = self.header.sealing
        if sealing is not None:
            self._opener = crypto.GcmOpener(key, sealing.nonce, self.header.encode())

    @property
    def is_open(self) -> bool:
        """Tell whether the image can be read: it is not encrypted, or there is a key."""
        return self.header.sealing is None or self._opener is not None

    def read(self, *listeners: Listener) -> Contents:
        """Read the rest of the package.

        Args:
            listeners: are told every piece of the plain image; nothing, if it cannot be read.

        Raises:
            MalformedError: it is malformed, or has another length than it says.
            ImageInvalidError: it was encrypted with another key.
        """
        digest = crypto.Sha256()
        image = Window(
            self._source if self._opener is None else _Opened(self._source, self._opener),
            self.header.image_bytes,
            what="the image",
            listeners=(digest.update, *listeners) if self.is_open else (),
        )
        parts, fault = self._read_parts(image)
        image.drain()
        length_bytes, record = self._read_end()
        if fault is not None:
            raise fault
        return Contents(
            header=self.header,
            length_bytes=self.header.length_bytes + self.header.image_bytes + length_bytes,
            sha256=digest.finish() if self.is_open else None,
            record=record,
            parts=parts,
        )

    def _read_parts(self, image: Window) -> tuple[tuple[Contents, ...], MalformedError | None]:
        """Return the parts of a product, or what is wrong with them.

        That is told after the tag is verified: what a wrong key made is not to be judged.
        """
        if self.header.kind is ImageKind.DEVICE or not self.is_open:
            return (), None
        try:
            return read_parts(image), None
        except MalformedError as error:
            return (), error

    def _read_end(self) -> tuple[int, ImageSignature | None]:
        """Read what follows the image; return its length and the record, if there is one."""
        tag_bytes = crypto.TAG_BYTES if self.header.sealing else 0
        end = take_up_to(self._source, max(_RECORD_BYTES) + tag_bytes + 1)
        lengths = [n + tag_bytes for n in (_RECORD_BYTES if self.header.is_signed else (0,))]
        if len(end) not in lengths:
            raise LengthError(_wrong_end(len(end), lengths))
        record = end[: len(end) - tag_bytes]
        if self._opener is not None:
            record = self._opener.update(record)
            self._verify_tag(self._opener, end[-tag_bytes:])
        is_told = self.header.is_signed and self.is_open
        return len(end), ImageSignature.decode(record) if is_told else None

    def _verify_tag(self, opener: crypto.GcmOpener, tag: bytes) -> None:
        try:
            opener.finish(tag)
        except SignatureError as error:
            raise refusal(
                ImageFailure.BAD_TAG,
                "the package cannot be decrypted: the key is another one, or it is damaged",
            ) from error


def _wrong_end(length: int, lengths: list[int]) -> str:
    due = f"{' or '.join(map(str, lengths))} bytes are due after the image"
    if length > max(lengths):
        return f"the package goes on after its end: {due}"
    if length < min(lengths):
        return f"the package is cut off: {due}, there are {length}"
    return f"the package has no known end: {due}, there are {length}"


class _Opened:
    """A source that is decrypted while it is read."""

    __slots__ = ("_opener", "_source")

    def __init__(self, source: Source, opener: crypto.GcmOpener) -> None:
        self._source, self._opener = source, opener

    def read(self, size: int, /) -> bytes:
        """Return up to that many bytes; none at the end."""
        return self._opener.update(self._source.read(size))


# Product image: u32 length of a device package, the device package, and so on to its end
def read_parts(image: Window) -> tuple[Contents, ...]:
    """Take the device packages that the image of a product is made of; hashes are not checked.

    Raises:
        MalformedError: it is made of anything else.
    """
    parts: list[Contents] = []
    while image.remaining:
        number = len(parts) + 1
        if number > MAX_PARTS:
            raise MalformedError(f"the product has more than {MAX_PARTS} parts")
        try:
            parts.append(_read_part(image))
        except LengthError as error:
            raise LengthError(f"part {number}: {error}") from error
        except MalformedError as error:
            raise MalformedError(f"part {number}: {error}", offset=error.offset) from error
    return tuple(parts)


def _read_part(image: Window) -> Contents:
    head = take(image, PART_HEAD_BYTES, "its length")
    length_bytes = Reader(head, what="product").u32("length")
    if length_bytes > image.remaining:
        raise LengthError(f"it is said to have {length_bytes} bytes, {image.remaining} are left")
    return read_part(image, length_bytes)


def read_part(source: Source, length_bytes: int) -> Contents:
    """Take a device package of that length; its hash is not checked.

    Raises:
        MalformedError: it is none, or has another length.
    """
    package = PackageReader(Window(source, length_bytes, what="the package"))
    if package.header.kind is not ImageKind.DEVICE:
        raise MalformedError("a product stands inside a product")
    return package.read()
