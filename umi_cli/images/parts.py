"""Which part of a product is for a device, and where does it stand? (protocol 7)"""

import io
from typing import BinaryIO

from umi_cli.errors import KeyUnusableError
from umi_cli.images.encryption import KEY_HINT
from umi_cli.images.failures import ImageFailure, refusal, refusing
from umi_cli.images.header import ImageHeader
from umi_cli.images.package import PART_HEAD_BYTES, PackageReader
from umi_cli.types import UmiId


class Section(io.RawIOBase):
    """A part of a file, as a file of its own.

    Args:
        file: can be read anywhere.
        start: where the part begins.
        length_bytes: how long it is.
    """

    def __init__(self, file: BinaryIO, start: int, length_bytes: int) -> None:
        super().__init__()
        self._file, self._start, self._length = file, start, length_bytes
        self._at = 0

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def seekable(self) -> bool:
        """Tell that it can be read anywhere."""
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        """Go to a place from the start, and return it."""
        if whence != io.SEEK_SET:
            raise io.UnsupportedOperation("a part is sought from its start")
        self._at = min(max(offset, 0), self._length)
        return self._at

    def read(self, size: int = -1, /) -> bytes:
        """Return up to that many bytes; none at the end."""
        left = self._length - self._at
        self._file.seek(self._start + self._at)
        data = self._file.read(left if size < 0 else min(size, left))
        self._at += len(data)
        return data


def find_part(
    file: BinaryIO, device: UmiId, model: str | None = None
) -> tuple[BinaryIO, ImageHeader]:
    """Return the first device package of a product that is for a device, and its header.

    Args:
        model: the device's; None for any.

    Raises:
        ImageInvalidError: the file is no product.
        WrongTargetError: nothing in it is for the device.
        KeyUnusableError: it is encrypted as a whole, and cannot be taken apart.
    """
    file.seek(0)
    with refusing():
        contents = PackageReader(file).read()
    if contents.header.sealing is not None:
        raise KeyUnusableError("the product is encrypted as a whole", hint=KEY_HINT)
    at = contents.header.length_bytes
    for part in contents.parts:
        at += PART_HEAD_BYTES
        label = part.header.label
        if device in label.targets and model in (None, label.model):
            return Section(file, at, part.length_bytes), part.header  # type: ignore[return-value]
        at += part.length_bytes
    raise refusal(ImageFailure.WRONG_TARGET, f"no part of the product is for {device}")
