"""What an export file says of a device: each record that is read becomes one of JSON."""

from typing import TYPE_CHECKING, Any

from umi_cli import __version__
from umi_cli.cli.failure import Failure
from umi_cli.cli.standing import certificate_record
from umi_cli.device.meter import UndecodableError
from umi_cli.objects.composites import Array, Structure
from umi_cli.objects.export_document import SCHEMA
from umi_cli.output.parts import Part
from umi_cli.output.render import to_plain
from umi_cli.types import ALL_MEMBERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from umi_cli.device.export import Export, ExportedCertificate, ExportedPart
    from umi_cli.errors import UmiError
    from umi_cli.objects.catalogue import Catalogue
    from umi_cli.types import ObjectPart


def document_of(
    export: "Export", catalogue: "Catalogue", only: "Sequence[ObjectPart] | None"
) -> dict[str, Any]:
    """Return an export as the document of its file, in plain JSON.

    Args:
        only: the parts that were asked for; None if all were.
    """
    standing = export.standing
    document = {
        "schema": SCHEMA,
        "version": __version__,
        "moment": export.host_time,
        "complete": export.failure is None,
        "stopped": _error(export.failure),
        "device": export.device_id,
        "identity": _identity(export),
        "datasheet": {
            "name": catalogue.datasheet.name,
            "sha256": catalogue.datasheet.sha256,
        },
        "clock_difference_s": export.clock_difference_s,
        "standing": {
            "scheme": standing.scheme,
            "role": standing.role.label,
            "authenticated": standing.is_authenticated,
            "encrypted": standing.is_encrypted,
        },
        "only": None if only is None else [str(part) for part in only],
        "left_out": [
            {"part": part, "name": catalogue.name_of(part), "why": why.value}
            for part, why in export.left_out
        ],
        "objects": [_object(each, catalogue) for each in export.parts],
        "certificates": None
        if export.certificates is None
        else [_certificate(each) for each in export.certificates],
    }
    plain: dict[str, Any] = to_plain(document)
    return plain


def _identity(export: "Export") -> Any:
    """Return the manufacturer ID, so that a reader of the file sees at once whose it is."""
    for each in export.parts:
        if each.found is not None and each.found.name == "manufacturer-id":
            return each.found.value
    return None


def _object(exported: "ExportedPart", catalogue: "Catalogue") -> dict[str, Any]:
    found, access = exported.found, exported.access
    record: dict[str, Any] = {
        "part": exported.part,
        "name": catalogue.name_of(exported.part),
        "shape": _shape(exported.part, catalogue),
        "volatile": _volatile(exported.part, catalogue),
        "error": _error(exported.error),
        "access": None if access is None else {"read": access.read, "write": access.write},
        "raw": None,
        "value": None,
    }
    if found is not None:
        came = Part.of(catalogue, exported.part, found.raw, found.value).record
        record |= {"raw": came["raw"], "value": came["value"]}
    elif isinstance(exported.error, UndecodableError):
        record["raw"] = exported.error.raw  # no secret: those are never asked for
    return record


def _shape(part: "ObjectPart", catalogue: "Catalogue") -> str:
    """Return what a value is made of: `value`, `structure`, `array`, `array-of-structures`."""
    kind = catalogue.type_of(part)
    if isinstance(kind, Array):
        return "array-of-structures" if isinstance(kind.element, Structure) else "array"
    return "structure" if isinstance(kind, Structure) else "value"


def _volatile(part: "ObjectPart", catalogue: "Catalogue") -> bool | list[str]:
    """Return whether a value changes by itself, or which of its members do."""
    definition = catalogue.find(part.code)
    if definition is None:
        return False
    if definition.volatile:
        return True
    name = (catalogue.name_of(part) or "").rpartition("/")[2]
    names = list(definition.volatile_members)
    return name in names if part.member != ALL_MEMBERS else names


def _error(error: "UmiError | None") -> dict[str, Any] | None:
    """Return why something did not come: the name of the error, the device's result code."""
    if error is None:
        return None
    failure = Failure.of(error)
    number, name = failure.result or (None, None)
    return {"code": failure.code, "number": number, "name": name, "message": failure.message}


def _certificate(exported: "ExportedCertificate") -> dict[str, Any]:
    certificate = exported.certificate
    return {
        **(certificate_record(certificate) or {"subject": exported.subject}),
        "error": _error(exported.error),
        "raw": None if certificate is None else certificate.encode(),
    }
