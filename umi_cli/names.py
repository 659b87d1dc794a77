"""How are names compared, and which one did a mistyped name mean?"""

from collections.abc import Iterable

_SUGGESTIONS = 3


def normal(name: str) -> str:
    """Return a name as names are compared: in lower case, with `-` for `_` and spaces."""
    return name.strip().lower().replace("_", "-").replace(" ", "-")


def near(name: str, names: Iterable[str], known: str = "") -> str:
    """Return the hint that names what a mistyped name may have meant; empty if nothing is near.

    Args:
        name: as it was typed.
        names: those that there are.
        known: what is said of all of them, near or not.
    """
    from difflib import get_close_matches  # a name that is right does not pay for it

    candidates = {normal(candidate): candidate for candidate in names}
    found = get_close_matches(normal(name), candidates, n=_SUGGESTIONS)
    meant = " or ".join(candidates[match] for match in found)
    return " ".join(filter(None, (f"did you mean {meant}?" if meant else "", known)))
