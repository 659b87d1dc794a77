"""What an explanation is made of: layers of fields, each with its place in the bytes."""

from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a layer."""

    name: str
    offset: int
    """Of its first byte, in the bytes that the layer is counted in."""
    raw: bytes
    value: Any = None
    """As `--json` prints it; None where the bytes say it all."""
    meaning: str = ""
    """For people."""


@dataclass(slots=True, kw_only=True)
class Layer:
    """One layer of an explanation."""

    name: str
    """Such as `link frame` or `READ_OBJECT_RESPONSE`."""
    within: str = ""
    """What the offsets are counted in, where it is not the bytes that were given."""
    fields: list[Field] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    """The checks that failed, a sentence each."""
    notes: list[str] = field(default_factory=list)
    is_secret: bool = False
    """Whether it holds a value that must not be shown."""

    def add(self, name: str, offset: int, raw: bytes, value: Any = None, meaning: str = "") -> None:
        """Add a field."""
        self.fields.append(Field(name=name, offset=offset, raw=raw, value=value, meaning=meaning))

    def hide(self, name: str) -> None:
        """Leave the bytes of a field out, but for where they stand and how many they are."""
        self.is_secret = True
        self.fields = [
            replace(each, raw=b"", meaning=f"secret, {len(each.raw)} bytes")
            if each.name == name
            else each
            for each in self.fields
        ]
