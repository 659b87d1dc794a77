"""Did a device become better or worse since an earlier report?"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from umi_cli.certify.report import SCHEMA, BaselineRecord, RunReport
from umi_cli.certify.run import Verdict
from umi_cli.errors import InputError

_DOCUMENT = "umi/1"  # what --json prints, with the report in it
_HINT = "make one with: umi certify --out FILE.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """What an earlier report says."""

    file: str
    version: str
    """Of the tool."""
    started: str
    device: str | None
    """Its UMI ID."""
    verdicts: Mapping[str, Verdict]
    """By number."""
    was_as_before: bool
    """Nothing had changed in the device, as far as anybody looked."""


def load(raw: bytes, file: str) -> Earlier:
    """Return what a report says that `--out` or `--json` has written.

    Args:
        raw: the file's bytes.
        file: what to call it.

    Raises:
        InputError: it is no report.
    """
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{file} is no report: it is not JSON", hint=_HINT) from error
    if isinstance(document, dict) and document.get("schema") == _DOCUMENT:
        document = document.get("data")
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise InputError(f"{file} is no report: its schema is not {SCHEMA}", hint=_HINT)
    try:
        return _earlier(document, file)
    except (KeyError, TypeError, ValueError) as error:
        what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{file} is no report: {what}", hint=_HINT) from error


def _earlier(document: Mapping[str, Any], file: str) -> Earlier:
    device, state = document["device"]["umi_id"], document["state"]
    return Earlier(
        file=file,
        version=str(document["version"]),
        started=str(document["started"]),
        device=None if device is None else str(device),
        verdicts={str(each["number"]): Verdict(each["verdict"]) for each in document["tests"]},
        was_as_before=state is None or not (state["changes"] or state["failure"]),
    )


def compared(report: RunReport, earlier: Earlier) -> RunReport:
    """Return a report that tells, too, how its run differs from an earlier one."""
    return replace(report, baseline=compare(report, earlier))


def compare(report: RunReport, earlier: Earlier) -> BaselineRecord:
    """Return how a run differs from an earlier one."""
    now = {each.number: each.verdict for each in report.tests}
    before = earlier.verdicts

    def moved(verdict: Verdict, *, was_failed: bool) -> tuple[str, ...]:
        return tuple(
            number
            for number, found in now.items()
            if found is verdict and (before.get(number) is Verdict.FAILED) == was_failed
        )

    return BaselineRecord(
        file=earlier.file,
        version=earlier.version,
        started=earlier.started,
        device=earlier.device,
        newly_failing=moved(Verdict.FAILED, was_failed=False),
        newly_passing=moved(Verdict.PASSED, was_failed=True),
        still_failing=moved(Verdict.FAILED, was_failed=True),
        no_longer_run=tuple(
            number
            for number, found in now.items()
            if found is Verdict.LEFT_OUT and before.get(number, found) is not Verdict.LEFT_OUT
        ),
        new=tuple(number for number in now if number not in before),
        gone=tuple(number for number in before if number not in now),
        state_is_worse=(
            earlier.was_as_before and report.state is not None and not report.state.is_as_before
        ),
    )
