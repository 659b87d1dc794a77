"""How a package looks: the record that `--json` prints, and the tables for people."""

from typing import TYPE_CHECKING, Any

from umi_cli.output.render import Table, View
from umi_cli.types import format_datetime

if TYPE_CHECKING:
    from umi_cli.images.header import ImageHeader, Sealing
    from umi_cli.images.package import Contents
    from umi_cli.security.signatures import ImageSignature
    from umi_cli.types import Role

_COLUMNS = ("part", "kind", "model", "version", "slot", "targets", "image_bytes", "state")
_NOT_IN_TABLES = ("parts", "header")


def record_of(header: "ImageHeader") -> dict[str, Any]:
    """Return every field of a header."""
    label = header.label
    return {
        "kind": {"number": int(header.kind), "name": header.kind.name.lower()},
        "model": label.model,
        "version": str(label.version),
        "slot": label.slot,
        "targets": {"lowest": label.targets.lowest, "highest": label.targets.highest},
        "built": format_datetime(label.built_s),
        "not_after": format_datetime(label.not_after_s),
        "image_bytes": header.image_bytes,
        "image_sha256": header.image_sha256,
        "signed": header.is_signed,
        "encryption": _encryption_of(header.sealing) if header.sealing else None,
        "header": header.encode(),
    }


def _encryption_of(sealing: "Sealing") -> dict[str, Any]:
    return {
        "to": "device" if sealing.c0 else "transport-key",
        "transport_key_id": None if sealing.c0 else sealing.key_id,
        "nonce": sealing.nonce,
        "c0": sealing.c0 or None,
    }


def contents_of(contents: "Contents") -> dict[str, Any]:
    """Return all that can be seen of a package."""
    record = contents.record
    return {
        "length_bytes": contents.length_bytes,
        **record_of(contents.header),
        "hash_matches": contents.has_right_hash,
        "signature": _signature_of(record) if record else None,
        "parts": [contents_of(part) for part in contents.parts],
    }


def _signature_of(record: "ImageSignature") -> dict[str, Any]:
    return {"scheme": record.scheme, "role": role_of(record.role), "value": record.value}


def role_of(role: "Role") -> dict[str, Any]:
    """Return a role's number and name."""
    return {"number": int(role), "name": role.label}


def view_of(record: dict[str, Any]) -> View:
    """Return how people see a record, and its parts."""
    blocks: list[Table | str] = [pairs(record)]
    parts = record.get("parts") or []
    if parts:
        blocks.append(rows(parts))
    return View(blocks=blocks, csv=rows([record, *parts], first=0), raw=[record["header"]])


def pairs(record: dict[str, Any]) -> Table:
    """Return the fields of a record, one below the other; what is not there is left out."""
    shown = {name: value for name, value in record.items() if name not in _NOT_IN_TABLES}
    texts = {name.replace("_", " "): _text(name, value) for name, value in shown.items()}
    return Table.pairs({k: v for k, v in texts.items() if v is not None})


def rows(records: list[dict[str, Any]], first: int = 1) -> Table:
    """Return a line for each package; the whole is part 0."""
    lines = [
        [
            _text(name, {**record, "part": number, "state": _state(record)}[name])
            for name in _COLUMNS
        ]
        for number, record in enumerate(records, first)
    ]
    return Table(columns=tuple(name.replace("_", " ") for name in _COLUMNS), rows=lines)


def _state(record: dict[str, Any]) -> str:
    words = ["signed" if record["signed"] else "not signed"]
    words += ["encrypted"] if record["encryption"] else []
    words += ["damaged"] if record.get("hash_matches") is False else []
    return ", ".join(words)


def _text(name: str, value: Any) -> object:
    """Return a value of a record in few words; what needs none as it is."""
    if name == "encryption" and value:
        return (
            "to the certificate of a device, which alone can open it"
            if value["to"] == "device"
            else f"with transport key {value['transport_key_id']}"
        )
    if name == "signature" and value:
        return f"scheme {value['scheme']}, as {value['role']['name']}; not verified"
    if isinstance(value, dict):
        return value["name"] if "name" in value else f"{value['lowest']}..{value['highest']}"
    return value
