"""What tshark and our own decoder say of a capture, in one form, so that they can be compared."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from umi_cli.explain.dissector import PATH

TSHARK = shutil.which("tshark")
TIME_LIMIT_S = 60
needs_tshark = pytest.mark.skipif(TSHARK is None, reason="tshark is not installed")

FIELDS = {
    "umi.sequence": "sequence",
    "umi.type": "type",
    "umi.length": "payload length",
    "umi.destination": "destination",
    "umi.source": "source",
    "umi.fragment.type": "type",
    "umi.fragment.data": "data",
    "umi.scheme": "encryption scheme",
    "umi.source_id": "source UMI ID",
    "umi.destination_id": "destination UMI ID",
    "umi.signature_scheme": "signature scheme",
    "umi.transaction": "transaction",
    "umi.packet_type": "packet type",
    "umi.result": "result",
    "umi.payload_length": "payload length",
    "umi.payload.code": "code",
    "umi.payload.part": "part",
    "umi.link_error": "error",
}
"""Fields of the dissector, and what our own decoder calls them."""
_LAYERS = {
    "umi.fragment.type": "fragment",
    "umi.fragment.data": "fragment",
    "umi.signature_scheme": "message",
    "umi.payload_length": "message",
}
_LINK = ("umi.sequence", "umi.type", "umi.length", "umi.destination", "umi.source")
EXTRA = ("frame.number", "umi.repeated", "umi.crc_ok", "_ws.malformed", "_ws.col.Info")
EXPERT = "_ws.expert.message"
SEPARATOR, AGGREGATOR = "\x1f", "\x1e"


def tshark(capture: Path, *words: str) -> str:
    """Run tshark with our dissector; nothing in it may go wrong."""
    process = subprocess.run(
        [TSHARK or "tshark", "-X", f"lua_script:{PATH}", "-n", "-r", str(capture), *words],
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_S,
        check=False,
    )
    said = process.stdout + process.stderr
    assert "Lua" not in said, next(line for line in said.splitlines() if "Lua" in line)
    assert process.returncode == 0, process.stderr
    return process.stdout


def dissected(capture: Path, *words: str) -> list[dict[str, str]]:
    """Return what tshark says of each packet, by field; several values stand in one text."""
    names = (*EXTRA, EXPERT, *FIELDS)
    wanted = [word for name in names for word in ("-e", name)]
    text = tshark(
        capture,
        *("-T", "fields", "-E", f"separator={SEPARATOR}", "-E", f"aggregator={AGGREGATOR}"),
        *wanted,
        *words,
    )
    rows = [line.split(SEPARATOR) for line in text.removesuffix("\n").split("\n")]
    return [dict(zip(names, row, strict=True)) for row in rows]


def told(frame: dict[str, Any]) -> dict[str, str]:
    """Return what our own decoder says of a frame, as `dissected` has it."""
    row = {"frame.number": str(frame["number"]), "_ws.col.Info": frame["what"]}
    row["umi.repeated"] = str(int(frame["repeated"])) if frame["form"] == "frame" else ""
    for field, name in FIELDS.items():
        layer = "link frame" if field in _LINK else _LAYERS.get(field)
        row[field] = AGGREGATOR.join(
            _text(field, each["value"])
            for found in frame["layers"]
            if layer in (None, found["layer"]) and (layer or found["layer"] != "link frame")
            for each in found["fields"]
            if each["name"] == name and field != "umi.link_error"
        )
    if frame["layers"]:
        errors = [e for e in frame["layers"][0]["fields"] if e["name"] == "error"]
        row["umi.link_error"] = AGGREGATOR.join(str(each["value"]) for each in errors)
    return row


def _text(field: str, value: Any) -> str:
    if field in ("umi.type", "umi.packet_type"):
        return f"0x{value:02x}"
    return f"0x{value.lower()}" if field.endswith("_id") else str(value)


def compared(capture: Path, frames: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Make sure that tshark says what our own decoder does; return what it says."""
    rows = dissected(capture)
    assert len(rows) == len(frames)
    assert frames
    for row, frame in zip(rows, frames, strict=True):
        ours = told(frame)
        assert {name: row[name] for name in ours} == ours, frame
        assert bool(row["_ws.malformed"]) == ("malformed" in frame["what"]), (row, frame)
    return rows
