"""Where are the vectors? Loads one by name from `tests/vectors/`."""

import json
from functools import cache
from pathlib import Path
from typing import Any

DIRECTORY = Path(__file__).parent / "vectors"


@cache
def _all(file: str) -> dict[str, dict[str, Any]]:
    vectors = json.loads((DIRECTORY / file).read_text())["vectors"]
    return {vector["name"]: vector for vector in vectors}


def vector(name: str, *, file: str = "vectors.json") -> dict[str, Any]:
    """Return a vector's fields; bytes are hex."""
    return _all(file)[name]


def octets(name: str, field: str, *, file: str = "vectors.json") -> bytes:
    """Return a field of a vector as bytes."""
    return bytes.fromhex(vector(name, file=file)[field])
