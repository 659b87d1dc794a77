"""Why is an image package refused? Each reason has its name."""

import contextlib
from collections.abc import Iterator
from enum import Enum

from umi_cli.errors import (
    ImageError,
    ImageInvalidError,
    MalformedError,
    RefusedError,
    WrongTargetError,
)


class ImageFailure(Enum):
    """Why an image package is refused."""

    MALFORMED = "malformed"
    """Its header, its signature record or a part of a product is not in its form."""
    WRONG_LENGTH = "wrong-length"
    """It is cut off, something follows it, or a length in it lies."""
    WRONG_HASH = "wrong-hash"
    """The image is not the one that the header names."""
    NOT_SIGNED = "not-signed"
    """Nobody stands for it."""
    BAD_SIGNATURE = "bad-signature"
    """It is not the signature of that key over this package."""
    BAD_TAG = "bad-tag"
    """It was encrypted with another key, or is damaged."""
    WRONG_ROLE = "wrong-role"
    """Who signed it acted in a role that may not, or in another than is wanted."""
    NOT_AFTER = "not-after"
    """It was not to be installed so late."""
    WRONG_TARGET = "wrong-target"
    """The device is not in its target range."""
    WRONG_MODEL = "wrong-model"
    """It is for another model."""
    NOT_NEWER = "not-newer"
    """Its version is older than the one in question, or the same."""


_OF_THE_TARGET = (ImageFailure.WRONG_TARGET, ImageFailure.WRONG_MODEL, ImageFailure.NOT_NEWER)


class LengthError(MalformedError):
    """There are fewer bytes than were announced, or more."""


def refusal(
    failure: ImageFailure, message: str, *, hint: str = "", cause: RefusedError | None = None
) -> ImageError:
    """Return the error that refuses a package for a reason, or for what the device said."""
    kind = WrongTargetError if failure in _OF_THE_TARGET else ImageInvalidError
    return kind(message, reason=failure.value, hint=hint, cause=cause)


@contextlib.contextmanager
def refusing() -> Iterator[None]:
    """Refuse the package whose bytes turn out to be malformed.

    Raises:
        ImageInvalidError: they are.
    """
    try:
        yield
    except LengthError as error:
        raise refusal(ImageFailure.WRONG_LENGTH, str(error)) from error
    except MalformedError as error:
        raise refusal(ImageFailure.MALFORMED, str(error)) from error
