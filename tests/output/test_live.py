"""Lines that are drawn over themselves."""

from umi_cli.output.live import HIDE_CURSOR, SHOW_CURSOR, LiveScreen


def screen_of(text: str, rows: int) -> list[str]:
    """Return what a terminal shows in the end that knows these few codes."""
    lines = [""] * rows
    at = 0
    for piece in text.replace(HIDE_CURSOR, "").replace(SHOW_CURSOR, "").split("\x1b[J"):
        if piece.startswith("\x1b[") and "F" in piece[:6]:
            up, _, piece = piece[2:].partition("F")
            at = max(0, at - int(up))
        for line in piece.split("\x1b[K\n")[:-1]:
            lines[at] = line
            at += 1
        lines[at:] = [""] * (rows - at)
    return lines[:at]


def test_the_last_lines_stand_alone_in_the_same_place() -> None:
    written: list[str] = []
    live = LiveScreen(written.append, lambda: (20, 10))
    live.draw(["a", "b", "c"])
    live.draw(["d", "e"])
    live.draw(["f", "g", "h"])
    live.close()
    live.close()
    text = "".join(written)
    assert screen_of(text, 10) == ["f", "g", "h"]
    assert text.endswith(SHOW_CURSOR)
    assert text.count(SHOW_CURSOR) == 1


def test_what_does_not_fit_is_cut_and_said() -> None:
    written: list[str] = []
    live = LiveScreen(written.append, lambda: (30, 4))
    for _ in range(3):
        live.draw(["x" * 40, "2", "3", "4", "5"])
    assert screen_of("".join(written), 4) == ["x" * 28 + "…", "2", "... and 3 more lines"]


def test_what_was_never_drawn_needs_no_end() -> None:
    written: list[str] = []
    LiveScreen(written.append, lambda: (80, 24)).close()
    assert written == []
