"""The page: complete, self-contained, and safe whatever a device says."""

from dataclasses import replace
from html.parser import HTMLParser

import pytest

from tests.certify.sample import AS_BEFORE, FRAMES, HOSTILE, full, record, report
from umi_cli.certify.html_page import SHOWN_FRAMES, to_html
from umi_cli.certify.report import DeviceRecord
from umi_cli.certify.run import Verdict

VOID = {"meta", "br", "input"}


class Page(HTMLParser):
    """What a browser makes of a page: elements that are balanced, their attributes, their text."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.said = ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said += data

    def all_of(self, name: str) -> list[str]:
        return [value for each, value in self.attributes if each == name]


def test_everything_is_told() -> None:
    page = Page(to_html(full()))
    for text in (
        "Compliance of M",
        "1 passed, 2 failed, 1 left out",
        "The run was stopped: lost",
        f"ei4, SHA-256 {'ab' * 32}",
        "umi-cli 0.1.0, a suite of 200 tests",
        "LNK-002 the title of LNK-002",
        "it did not",
        "Answer.",
        "protocol 2.3",
        "01 04",
        "40 bytes with a secret in them",
        "7 more came before these",
        "old.json, begun 2026-11-01",
        "newly failing (1)",
        "1 of what it holds differ",
        "write access",
        "needs much",
        "a choice of this project",
    ):
        assert text in page.said, text


def test_links_lead_somewhere() -> None:
    page = Page(to_html(full()))
    ids = page.all_of("id")
    assert len(set(ids)) == len(ids)
    targets = page.all_of("href")
    assert targets
    assert {target.removeprefix("#") for target in targets} <= set(ids)


def test_the_page_needs_nothing_and_runs_nothing() -> None:
    text = to_html(full(HOSTILE))
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on") or name == "src"]
    assert "default-src 'none'" in " ".join(page.all_of("content"))
    assert "@import" not in text
    assert "url(" not in text


def test_hostile_strings_stay_text() -> None:
    text = to_html(full(HOSTILE))
    page = Page(text)
    assert "<script>alert(1)</script>" in page.said
    assert "<script" not in text
    assert not {"\x1b", "\x00", "\u202e"} & set(text)


def test_a_sound_device() -> None:
    page = Page(to_html(report(record("LNK-001", message="measured 3 ms"))))
    assert "Passed: 1 passed, 0 failed, 0 left out" in page.said
    assert "measured 3 ms" in page.said
    assert "The device holds what it held before the tests." in page.said
    assert "article" not in page.tags


@pytest.mark.parametrize("identity", [None, {}, {"serial": "1"}])
def test_a_device_that_says_little(identity: dict[str, str] | None) -> None:
    device = DeviceRecord(umi_id=None, manufacturer_id=identity)
    page = Page(to_html(report(record("LNK-001"), device=device, state=None)))
    assert ("an unknown device" in page.said) == (not identity)


def test_a_state_that_nobody_can_tell() -> None:
    state = replace(AS_BEFORE, failure="after the tests it cannot be read")
    page = Page(to_html(report(record("LNK-001"), state=state)))
    assert "Nobody can tell whether the device is as before" in page.said


def test_of_many_frames_the_last_are_shown() -> None:
    test = record("LNK-001", Verdict.FAILED, frames=FRAMES * 50, frames_left_out=5)
    page = Page(to_html(report(test)))
    assert f"What crossed the line: {SHOWN_FRAMES} pieces" in page.said
    assert f"{100 - SHOWN_FRAMES + 5} more came before these" in page.said
