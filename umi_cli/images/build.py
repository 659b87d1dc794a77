"""How is a package made from an image, or from the packages of a product's devices? (protocol 7)

The header says how long the image is and what hash it has, so it is written last, in its place:
the image is read once, and may come from a pipe.
"""

import os
from collections.abc import Sequence
from typing import BinaryIO

from umi_cli import crypto, wire
from umi_cli.errors import InputError
from umi_cli.images.failures import refusing
from umi_cli.images.header import MAX_IMAGE_BYTES, PLAIN_BYTES, ImageHeader, ImageKind, ImageLabel
from umi_cli.images.package import MAX_PARTS, Contents, read_part
from umi_cli.images.streams import SeekableSource, Source, Window, pieces


class _Builder:
    """Writes a package whose header comes last.

    Args:
        out: where it goes, from where it stands; it can be sought in.
    """

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._start = out.tell()
        self._digest = crypto.Sha256()
        self._length_bytes = 0
        out.write(bytes(PLAIN_BYTES))

    def add(self, piece: bytes) -> None:
        """Write the next piece of the image; `InputError` if it is too much."""
        self._length_bytes += len(piece)
        if self._length_bytes > MAX_IMAGE_BYTES:
            raise InputError(f"an image has up to {MAX_IMAGE_BYTES} bytes, and this one has more")
        self._digest.update(piece)
        self._out.write(piece)

    def finish(self, kind: ImageKind, label: ImageLabel) -> ImageHeader:
        """Write the header, and return it."""
        if not self._length_bytes:
            raise InputError("the image is empty")
        header = ImageHeader(
            kind=kind,
            label=label,
            image_bytes=self._length_bytes,
            image_sha256=self._digest.finish(),
        )
        self._out.seek(self._start)
        self._out.write(header.encode())
        self._out.seek(0, os.SEEK_END)
        return header


def build_device(image: Source, out: BinaryIO, label: ImageLabel) -> ImageHeader:
    """Make the package of an image for one device, neither signed nor encrypted.

    Args:
        image: the image, all of it.
        out: where the package goes; it can be sought in.

    Raises:
        InputError: the image is empty, or too long.
    """
    builder = _Builder(out)
    for piece in pieces(image):
        builder.add(piece)
    return builder.finish(ImageKind.DEVICE, label)


def build_product(
    packages: Sequence[SeekableSource], out: BinaryIO, label: ImageLabel
) -> tuple[ImageHeader, tuple[Contents, ...]]:
    """Make the package of a product, neither signed nor encrypted, from device packages.

    Args:
        packages: device packages; they can be sought in. Signed, for each device checks its own,
            and perhaps encrypted.
        out: as for `build_device`.

    Returns:
        The header, and what is in each package.

    Raises:
        InputError: there is no package, or there are too many.
        ImageInvalidError: one is damaged, or a product itself.
    """
    if not 1 <= len(packages) <= MAX_PARTS:
        raise InputError(f"a product has 1 to {MAX_PARTS} packages, not {len(packages)}")
    builder = _Builder(out)
    parts = tuple(_add_part(package, builder) for package in packages)
    return builder.finish(ImageKind.PRODUCT, label), parts


def _add_part(package: SeekableSource, builder: _Builder) -> Contents:
    length_bytes = package.seek(0, os.SEEK_END)
    package.seek(0)
    if length_bytes > MAX_IMAGE_BYTES:
        raise InputError(f"a product has up to {MAX_IMAGE_BYTES} bytes, and this package has more")
    builder.add(wire.u32(length_bytes))
    with refusing():
        source = Window(package, length_bytes, what="the package", listeners=(builder.add,))
        contents = read_part(source, length_bytes)
    contents.check_hash()
    return contents
