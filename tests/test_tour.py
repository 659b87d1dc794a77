"""The README's tour prints what it shows, and nothing in the README escapes that."""

import tomllib
from pathlib import Path

import pytest

from tests import tour
from tests.readme import README, Block, blocks, steps
from tests.spec_page import with_spec_page

LINES = README.read_text(encoding="utf-8").splitlines()


def run(text: str, tmp_path: Path) -> list[tour.Ran]:
    return tour.run_tour(text.splitlines(), tmp_path)


def console(*lines: str) -> str:
    return "\n".join(["", "```console", *lines, "```"])


def test_the_readme_prints_what_it_shows() -> None:
    faults, _ = tour.check(LINES)
    assert not faults, "\n".join([*faults, "put it right with: python -m tests.tour --write"])


def test_the_page_from_umi_s_to_code_is_what_the_table_says() -> None:
    assert with_spec_page(LINES) == LINES, "put it right with: python -m tests.tour --write"


@pytest.mark.parametrize("block", list(blocks(LINES)), ids=lambda block: f"line-{block.first}")
def test_what_is_not_run_says_why(block: Block) -> None:
    word, text = block.note
    assert word != "not run" or len(text.split()) > 2


@pytest.mark.parametrize(
    "block", [b for b in blocks(LINES) if b.kind == "toml"], ids=lambda block: f"line-{block.first}"
)
def test_toml_is_toml(block: Block) -> None:
    assert tomllib.loads(block.text)


def test_links_lead_somewhere() -> None:
    text = "\n".join(LINES)
    headings = [line.lstrip("# ") for line in LINES if line.startswith("#")]
    anchors = {heading.lower().replace(" ", "-").replace(",", "") for heading in headings}
    for target in tour.links(text):
        found = target[1:] in anchors if target[0] == "#" else (README.parent / target).exists()
        assert found, target


def test_the_shell_is_one(tmp_path: Path) -> None:
    first, second = console("$ export WORD=here"), console("$ echo $WORD", "here", "", "$ false")
    third = console("$ echo $?", "1")
    ran = run(first + second + third, tmp_path)
    assert [(each.code, each.fault) for each in ran] == [(0, ""), (0, ""), (1, ""), (0, "")]


def test_another_output_is_told_with_its_line(tmp_path: Path) -> None:
    (ran,) = run(console("$ echo blue", "green"), tmp_path)
    assert "README.md:3" in ran.fault
    assert "-green" in ran.fault
    assert "+blue" in ran.fault


def test_a_command_without_output_may_fail_in_a_console_and_not_in_a_script(tmp_path: Path) -> None:
    ran = run(console("$ false") + "\n\n```sh\nfalse\ntrue\n```", tmp_path)
    assert [bool(each.fault) for each in ran] == [False, True]


def test_stderr_is_shown_as_well(tmp_path: Path) -> None:
    (ran,) = run(console("$ echo lost >&2"), tmp_path)
    assert ran.printed == ("lost",)
    assert ran.fault


def test_a_file_is_there_for_what_follows(tmp_path: Path) -> None:
    text = '<!-- file: a.toml -->\n```toml\na = "b"\n```\n' + console("$ cat a.toml", 'a = "b"')
    assert not any(each.fault for each in run(text, tmp_path))


def test_python_prints_what_the_block_below_shows(tmp_path: Path) -> None:
    script = "\n```python\nprint(6 * 7)\n```\n"
    ran = run(script + "<!-- output -->\n```text\n42\n```\n" + script, tmp_path)
    assert [each.fault for each in ran] == ["", ""]
    (wrong,) = run(script + "<!-- output -->\n```text\n43\n```", tmp_path / "again")
    assert "+42" in wrong.fault


def test_a_server_is_waited_for_and_must_be_ended(tmp_path: Path) -> None:
    server = "$ sh -c 'sleep 0.3; echo \\\"listening\\\"; sleep 60' &"
    shown = console(server, '"listening"', "", "$ kill %1")
    assert not any(each.fault for each in run(shown, tmp_path))
    with pytest.raises(ValueError, match="left behind"):
        run(console(server, '"listening"'), tmp_path / "again")


@pytest.mark.parametrize(
    ("shown", "printed", "is_same"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("a", "", False),
        ("2027-11-22T13:52:44Z", "2031-01-02T03:04:05Z", True),
        ("2026-03-22T13:52:44Z", "2026-03-22T13:52:45Z", False),
        ("2026-03-22T13:52:44Z", "2031-01-02T03:04:05Z", False),
        ("0a" * 32, "0b" * 32, True),
        ("0a" * 32, "0b" * 31, False),
        ("a\n…\nd", "a\nb\nc\nd", True),
        ("a\n…\nd", "a\nd", True),
        ("a\n…\nd", "a\nb\nc", False),
        ("at … done", "at 7 km done", True),
        ("at … done", "at 7 km", False),
        ("1.5", "1x5", False),
    ],
)
def test_what_counts_as_the_same(shown: str, printed: str, is_same: bool) -> None:
    assert tour.is_same(shown.splitlines(), printed.splitlines()) == is_same


def test_what_is_wrong_is_put_right_and_the_rest_left_alone(tmp_path: Path) -> None:
    text = console(
        "$ echo 2031-01-02T03:04:05Z", "2027-11-22T13:52:44Z", "", "$ seq 9", "1", "…", "8"
    )
    right = tour.corrected(text.splitlines(), run(text, tmp_path))
    assert (
        right
        == console(
            "$ echo 2031-01-02T03:04:05Z", "2027-11-22T13:52:44Z", "", "$ seq 9", "1", "…", "9"
        ).splitlines()
    )
    assert not any(each.fault for each in run("\n".join(right), tmp_path / "again"))


@pytest.mark.parametrize(
    "text", ["```\nx\n```", "```perl\nx\n```", "\n```console\nno prompt\n```", "\n```sh\nno end"]
)
def test_a_readme_out_of_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"README.md:\d+: "):
        list(steps(text.splitlines()))
