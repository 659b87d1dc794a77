"""`umi decode FILE.pcapng`: what passed on a port, one line a frame, as Wireshark shows it too."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, BinaryIO

from umi_cli.cli.decode import Failures, layer_record
from umi_cli.errors import InputError, MalformedError
from umi_cli.explain.capture import CaptureExplainer, Explained
from umi_cli.explain.pcapng import LINK_TYPE_FRAMES, LINK_TYPE_LINE, LINK_TYPE_PACKETS
from umi_cli.output.render import Table, View, timestamp

if TYPE_CHECKING:
    from umi_cli.cli.context import App
    from umi_cli.explain.summary import Opener

COLUMNS = ("frame", "time", "way", "link", "what", "comments")
UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORMS = {LINK_TYPE_FRAMES: "frame", LINK_TYPE_LINE: "line", LINK_TYPE_PACKETS: "packet"}


def show_capture(app: "App", file: BinaryIO, opener: "Opener | None") -> None:
    """Show a capture; it is read as it is shown, so it may be of any length.

    Raises:
        InputError: nothing in it is of UMI.
        MalformedError: a check has failed, or the file is damaged.
    """
    explainer = CaptureExplainer(app.catalogue, opener)
    failures = Failures()
    packets = _packets(explainer, file, failures)
    if app.report.is_for_people:
        rows = (_row(each) for each in packets)
        raw = (each.packet.data for each in packets)
        app.emit(None, View(blocks=(Table(columns=COLUMNS, rows=rows),), raw=raw))
        for comment in explainer.comments:
            app.note(comment)
    else:
        app.emit(_document(app, explainer, packets))
    if explainer.passed_over:
        app.warn(f"{explainer.passed_over} packets are of link types that are not UMI's")
    failures.check()
    if not any(each.link_type in _FORMS for each in explainer.interfaces):
        raise InputError(
            "nothing in this capture is of UMI",
            hint="umi --trace writes link frames under link type 147, USER0; UMI over TCP is"
            " dissected by Wireshark: umi decode --dissector-path",
        )


def _packets(
    explainer: CaptureExplainer, file: BinaryIO, failures: Failures
) -> Iterator[Explained]:
    """Yield what is known of each packet; what is wrong with the file ends them."""
    try:
        for each in explainer.explain(file):
            for text in each.failures:
                failures.add(f"frame {each.number}: {text}")
            yield each
    except MalformedError as error:
        failures.add(str(error))


def _document(app: "App", explainer: CaptureExplainer, packets: Iterator[Explained]) -> Any:
    """Return the capture for programs; under --events each frame is an event of its own."""
    frames: list[dict[str, Any]] | None = [] if app.report.form == "json" else None
    count = 0
    for each in packets:
        count += 1
        if frames is None:
            app.event("frame", **_record(each))
        else:
            frames.append(_record(each))
    interfaces = [
        {"name": each.name, "description": each.description, "link_type": each.link_type}
        for each in explainer.interfaces
    ]
    comments = explainer.comments
    return {"comments": comments, "interfaces": interfaces, "count": count, "frames": frames}


def _record(each: Explained) -> dict[str, Any]:
    packet = each.packet
    return {
        "number": each.number,
        "time": _time(each),
        "direction": packet.direction,
        "interface": each.interface.name,
        "form": _FORMS[each.interface.link_type],
        "repeated": each.is_repeated,
        "what": each.what,
        "comments": packet.comments,
        "raw": packet.data,
        "layers": [layer_record(layer) for layer in each.layers],
    }


def _row(each: Explained) -> list[object]:
    way, comments = each.packet.direction or "-", "; ".join(each.packet.comments)
    return [each.number, _time(each), way, _link(each), each.what, comments]


def _link(each: Explained) -> str:
    """Return the link addresses and the sequence of a frame, `5>0 #3`."""
    data = each.packet.data
    if each.interface.link_type != LINK_TYPE_FRAMES or len(data) < 4:
        return ""
    return f"{data[3] & 0xF}>{data[3] >> 4} #{data[0] >> 4}"


def _time(each: Explained) -> str:
    moment = UNIX_EPOCH + timedelta(microseconds=each.packet.utc_us)
    return timestamp(moment, timespec="microseconds")
