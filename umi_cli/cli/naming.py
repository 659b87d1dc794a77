"""How a sentence that refuses a certificate or a package begins: with the name of the reason."""

import contextlib
from collections.abc import Iterator

from umi_cli.errors import ImageError


@contextlib.contextmanager
def naming_the_failure() -> Iterator[None]:
    """Begin the sentence of a certificate's or a package's failure with its name."""
    from umi_cli.certificates.trust import ChainError

    try:
        yield
    except ChainError as error:
        message = f"{error.failure.value}: {error}"
        raise ChainError(error.failure, message, hint=error.hint) from error
    except ImageError as error:
        message = f"{error.reason}: {error}"
        raise type(error)(message, reason=error.reason, hint=error.hint) from error
