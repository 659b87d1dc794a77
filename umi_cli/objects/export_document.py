"""How an export stands in its file, and what a file must hold to be one.

JSON that line-oriented tools compare well: a line for each key, each object and each certificate,
and of an array a line for each element.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from umi_cli.errors import InputError
from umi_cli.types import ObjectPart, RoleSet

SCHEMA = "umi-export/1"
ARRAYS = ("array", "array-of-structures")
STRUCTURES = ("structure", "array-of-structures")
SHAPES = ("value", "structure", *ARRAYS)
ROLE_SETS = ("read", "write")
_MALFORMED = "malformed"  # the device answered, in bytes that the datasheet does not foresee
_LISTS = ("objects", "certificates")
_HINT = "make one with: umi export FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRecord:
    """An object of an export, or a part of one."""

    part: str
    """As text with a UMI code, `umi.1.1.194.23[0:47]`."""
    name: str | None
    first: int
    """The number of the first element."""
    shape: str
    """One of `SHAPES`."""
    value: Any
    """As `--json` prints it."""
    undecoded: str | None
    """The bytes in hex, where the datasheet could not explain them; there is no value then."""
    error: Mapping[str, Any] | None
    access: Mapping[str, RoleSet] | None
    """By `read` and `write`; None if our role could not ask."""
    volatile: bool | tuple[str, ...]
    """Whether it changes by itself, or which of its members do."""

    @property
    def label(self) -> str:
        """Return the name for people, or else the code."""
        return self.name or self.part

    @property
    def is_certain(self) -> bool:
        """Tell whether the device gave it or refused it: a link that was lost says neither."""
        error = self.error
        return error is None or error["number"] is not None or error["code"] == _MALFORMED


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportFile:
    """An export as it was read from its file."""

    origin: str
    """What to call it, `yesterday.json`."""
    device: str | None
    """The device's UMI ID."""
    moment: str
    """When it was made, RFC 3339."""
    datasheet: Mapping[str, Any]
    """Name and SHA-256."""
    role: str
    """In which it was read."""
    is_complete: bool
    only: tuple[str, ...] | None
    """The parts that were asked for; None if all were."""
    left_out: Mapping[str, str]
    """Parts that were not asked for, and why: `table` or `secret`."""
    objects: Mapping[str, ObjectRecord]
    """By part."""
    certificates: Mapping[str, str | None] | None
    """The fingerprint by subject, None where the device gave none; None if not asked for."""


def dump(document: Mapping[str, Any]) -> Iterator[str]:
    """Return the lines of an export's file; the same document gives the same lines."""
    yield "{\n"
    for number, (key, value) in enumerate(document.items(), start=1):
        comma = "," if number < len(document) else ""
        if key in _LISTS and value:
            yield f"{_text(key)}:[\n"
            yield from _joined(_record_text(record) for record in value)
            yield f"]{comma}\n"
        else:
            yield f"{_text(key)}:{_text(value)}{comma}\n"
    yield "}\n"


def _record_text(record: Mapping[str, Any]) -> str:
    """Return a record on one line; the bytes and the elements of an array stand on their own."""
    if record.get("shape") not in ARRAYS or not record["value"]:
        return _text(record)
    head = {key: value for key, value in record.items() if key not in ("raw", "value")}
    elements = "".join(_joined(map(_text, record["value"])))
    raw = _text(record["raw"])
    return f'{_text(head)[:-1]},\n"raw":{raw},\n"value":[\n{elements}]}}'


def _joined(texts: Iterator[str]) -> Iterator[str]:
    """Return JSON texts as the lines of a list."""
    before = ""
    for text in texts:
        if before:
            yield before + ",\n"
        before = text
    yield before + "\n"


def _text(value: Any) -> str:
    return json.dumps(value, allow_nan=False, separators=(",", ":"))


def load(raw: bytes, origin: str) -> ExportFile:
    """Return the export that a file holds.

    Args:
        raw: the file's bytes.
        origin: what to call it.

    Raises:
        InputError: it is no export.
    """
    try:
        document = json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{origin} is no export: it is not JSON", hint=_HINT) from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else None
        said = f"its schema is {found!r:.60}, not {SCHEMA}" if found else f"it is no {SCHEMA}"
        raise InputError(f"{origin} is no export: {said}", hint=_HINT)
    try:
        return _export(document, origin)
    except (KeyError, TypeError, ValueError, AttributeError, InputError) as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{origin} is no export: {what}", hint=_HINT) from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _export(document: Mapping[str, Any], origin: str) -> ExportFile:
    only = _get(document, "only", list, None)
    records = [_object_record(each) for each in _get(document, "objects", list)]
    certificates = _get(document, "certificates", list, None)
    objects = {record.part: record for record in records}
    if len(objects) < len(records):
        raise ValueError("an object stands in it twice")
    return ExportFile(
        origin=origin,
        device=_get(document, "device", str, None),
        moment=_get(document, "moment", str),
        datasheet=_get(document, "datasheet", dict),
        role=_get(_get(document, "standing", dict), "role", str),
        is_complete=_get(document, "complete", bool),
        only=None if only is None else tuple(map(str, only)),
        left_out={
            _get(each, "part", str): _get(each, "why", str)
            for each in _get(document, "left_out", list)
        },
        objects=objects,
        certificates=None if certificates is None else dict(map(_fingerprint, certificates)),
    )


def _object_record(record: Any) -> ObjectRecord:
    part = _get(record, "part", str)
    shape, value = _get(record, "shape", str), record["value"]
    error, access = _get(record, "error", dict, None), _get(record, "access", dict, None)
    if shape not in SHAPES or not (_fits(value, shape) or (value is None and error is not None)):
        raise ValueError(f"the value of {part} is no {shape}")
    volatile = _get(record, "volatile", bool, list)
    return ObjectRecord(
        part=part,
        name=_get(record, "name", str, None),
        first=ObjectPart.parse(part).first,
        shape=shape,
        value=value,
        undecoded=_get(record, "raw", str, None) if value is None and error else None,
        error=None if error is None else {key: error[key] for key in ("code", "number", "name")},
        access=None if access is None else {key: _roles(access[key]) for key in ROLE_SETS},
        volatile=tuple(map(str, volatile)) if isinstance(volatile, list) else volatile,
    )


def _fits(value: Any, shape: str) -> bool:
    """Tell whether a value has the shape that its record says."""
    if shape in ARRAYS and not isinstance(value, list):
        return False
    elements = value if shape in ARRAYS else [value]
    return shape not in STRUCTURES or all(isinstance(each, dict) for each in elements)


def _roles(record: Any) -> RoleSet:
    return RoleSet(_get(record, "number", int))


def _fingerprint(record: Any) -> tuple[str, str | None]:
    error = _get(record, "error", dict, None)
    fingerprint = None if error is not None else _get(record, "fingerprint", str)
    return _get(record, "subject", str), fingerprint


def _get(table: Mapping[str, Any], key: str, *kinds: type | None) -> Any:
    """Return what a key holds, if it is of one of these kinds; `ValueError` otherwise."""
    value = table[key]
    if not any(value is None if kind is None else type(value) is kind for kind in kinds):
        raise ValueError(f"{key} is of the wrong kind")
    return value
