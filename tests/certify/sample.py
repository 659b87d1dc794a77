"""A report with a bit of everything in it, for those that put it into words."""

from dataclasses import replace
from typing import Any

from umi_cli.certify.baseline import Earlier, compare
from umi_cli.certify.case import Level, Need
from umi_cli.certify.report import (
    CaseRecord,
    DatasheetRecord,
    DeviceRecord,
    RunReport,
    StateChange,
    StateRecord,
)
from umi_cli.certify.run import Verdict
from umi_cli.certify.words import FrameRecord

HOSTILE = "</td><script>alert(1)</script>\x1b[31m\x00\u202egnp\"'&<!--"
"""What a device may say of itself, and must come to nothing."""


def record(number: str, verdict: Verdict = Verdict.PASSED, **fields: Any) -> CaseRecord:
    """Return what came of a test."""
    sound: dict[str, Any] = {
        "number": number,
        "title": f"the title of {number}",
        "level": next(each for each in Level if number.startswith(each.prefix)),
        "clause": "2.3",
        "mark": "F",
        "verdict": verdict,
        "message": "" if verdict is Verdict.PASSED else f"the message of {number}",
        "sends": "RESYNC",
        "expects": "an answer",
        "advice": "Answer.",
        "duration_s": 0.25,
        "frames": (),
        "frames_left_out": 0,
    }
    return CaseRecord(**{**sound, **fields})


FRAMES = (
    FrameRecord(
        at_s=0.0, direction="out", length_bytes=2, raw=b"\x01\x04", words=("link frame: RESYNC",)
    ),
    FrameRecord(
        at_s=0.5, direction="in", length_bytes=40, raw=None, words=("link frame: WRONG: CRC",)
    ),
)
AS_BEFORE = StateRecord(
    role="service", objects=19, changes=(), volatile=3, failure="", is_explained=False
)
CHANGED = replace(
    AS_BEFORE,
    changes=(
        StateChange(kind="changed", object="counter", aspect="write access", old="all", new="none"),
    ),
)


def report(*tests: CaseRecord, **fields: Any) -> RunReport:
    """Return a report of some tests."""
    sound: dict[str, Any] = {
        "version": "0.1.0",
        "suite": 200,
        "started": "2026-11-22T10:00:00Z",
        "duration_s": 1.5,
        "stopped": "",
        "port": "sim",
        "device": DeviceRecord(
            umi_id="00237EFE00000001",
            manufacturer_id={"model": "EISGMv0", "manufacturer": "ELS", "serial": "31733978"},
        ),
        "datasheet": DatasheetRecord(name="ei4", sha256="ab" * 32),
        "seed": 0,
        "levels": tuple(Level),
        "only": (),
        "allowed": (Need.CHANGES,),
        "answer_s": 1.0,
        "quiet_s": 0.5,
        "tests": tests,
        "state": AS_BEFORE,
        "baseline": None,
    }
    return RunReport(**{**sound, **fields})


def full(hostile: str = "") -> RunReport:
    """Return a report with failures, a baseline, a changed state; `hostile` stands everywhere."""
    found = report(
        record("LNK-001"),
        record("LNK-002", Verdict.FAILED, message=f"it did not{hostile}", frames=FRAMES, mark="C"),
        record("OBJ-001", Verdict.LEFT_OUT, message=f"needs much{hostile}"),
        record("SEC-001", Verdict.FAILED, frames_left_out=7, frames=FRAMES),
        device=DeviceRecord(umi_id=f"0{hostile}", manufacturer_id={"model": f"M{hostile}"}),
        stopped=f"lost{hostile}",
        port=f"sim{hostile}",
        only=(f"LNK*{hostile}",),
        state=replace(CHANGED, changes=(replace(CHANGED.changes[0], old=f"x{hostile}"),)),
    )
    earlier = Earlier(
        file=f"old.json{hostile}",
        version=f"0.0.9{hostile}",
        started=f"2026-11-01{hostile}",
        device=f"0{hostile}",
        verdicts={
            "LNK-002": Verdict.PASSED,
            "SEC-001": Verdict.FAILED,
            f"X{hostile}": Verdict.PASSED,
        },
        was_as_before=True,
    )
    return replace(found, baseline=compare(found, earlier))
