"""How do shells ask what may stand where the cursor is, and how are they answered?

Bash, zsh and fish have scripts of their own here, beside click's classes: in bash, click's cut a
word at `:` and `=` (`tcp:HOST`); in zsh they end every word with a space (`sim:`), and are silent
the second time when loaded from a file; in fish they cut help at a comma. Ours give the line up
to the cursor, and it is taken apart here alone. PowerShell has click's script, which click 8.5
brings.
"""

import os
import re
import shlex
from typing import TYPE_CHECKING

import click
from click.shell_completion import (
    CompletionItem,
    ShellComplete,
    add_completion_class,
    get_completion_class,
)

from umi_cli.cli.context import App
from umi_cli.errors import UmiError

if TYPE_CHECKING:
    Item = CompletionItem[str]
else:
    Item = CompletionItem  # generic in new versions of click only

VARIABLE = "_UMI_COMPLETE"
SHELLS = ("bash", "zsh", "fish", "powershell")
_CURSOR = "\0"  # stands in no command line
_UNFINISHED = (":", "/", "=")
_OPTION_AND_VALUE = re.compile(r"(--[^=]+)=(.*)", re.DOTALL)
_TO_ESCAPE = re.compile(r"([^\w@%+:,./=~-])")

_BASH = """\
# Completion of %(prog_name)s for bash 4.4 and newer.
%(complete_func)s() {
    local type value last
    COMPREPLY=()
    while IFS=, read -r type value; do
        case $type in
            plain|unfinished) COMPREPLY+=("$value") last=$type ;;
            file) compopt -o default ;;
            dir) compopt -o dirnames ;;
        esac
    done < <(env COMP_WORDS="${COMP_LINE:0:COMP_POINT}" COMP_CWORD="$2" \\
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && $last == unfinished ]]; then
        compopt -o nospace
    fi
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""

_ZSH = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local -a response finished unfinished
    local type value
    (( $+commands[%(prog_name)s] )) || return 1
    response=("${(@f)$(env COMP_WORDS="${(j: :)words[1,CURRENT]}" \\
        %(complete_var)s=zsh_complete %(prog_name)s 2>/dev/null)}")
    [[ $PREFIX == --*=* ]] && compset -P 1 '*='
    for type value in "${response[@]}"; do
        case $type in
            plain) finished+=("$value") ;;
            unfinished) unfinished+=("$value") ;;
            file) _files ;;
            dir) _files -/ ;;
        esac
    done
    (( $#finished )) && _describe -V value finished
    (( $#unfinished )) && _describe -V value unfinished -S ''
}

if [[ $funcstack[1] == _%(prog_name)s ]]; then  # each time, as the file of that name
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""

_FISH = """\
function %(complete_func)s
    set -l token (commandline -ct)
    set -l option (string match -r -- '^--[^=]+=' $token)
    for line in (env COMP_WORDS=(commandline -cp | string collect) \\
            %(complete_var)s=fish_complete %(prog_name)s 2>/dev/null)
        set -l item (string split -m 1 , -- $line)
        switch $item[1]
            case plain
                printf '%%s\\n' "$option$item[2]"
            case file
                for path in (__fish_complete_path "$item[2]")
                    printf '%%s\\n' "$option$path"
                end
            case dir
                for path in (__fish_complete_directories "$item[2]")
                    printf '%%s\\n' "$option$path"
                end
        end
    end
end

complete --no-files --command %(prog_name)s --arguments '(%(complete_func)s)'
"""


class LineComplete(ShellComplete):
    """A shell whose script gives the command line up to the cursor."""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one that is typed, and that one."""
        (_, *words), incomplete = take_apart(os.environ["COMP_WORDS"])
        if match := _OPTION_AND_VALUE.fullmatch(incomplete):
            return [*words, match[1]], match[2]
        return words, incomplete


@add_completion_class
class BashComplete(LineComplete):
    """Bash: readline replaces what stands behind the last of its breaks (`:`, `=`) alone."""

    name = "bash"
    source_template = _BASH

    def format_completion(self, item: Item) -> str:
        """Return the type, and what is to stand in the place of the piece."""
        if item.type != "plain":
            return f"{item.type},{item.value}"
        line, piece = os.environ["COMP_WORDS"], os.environ["COMP_CWORD"]
        _, typed = self.get_completion_args()
        return f"{_kind(item)},{insertion(line, piece, typed, item.value)}"


@add_completion_class
class ZshComplete(LineComplete):
    """Zsh: a value is followed by its help, and has no space after it if it goes on."""

    name = "zsh"
    source_template = _ZSH

    def format_completion(self, item: Item) -> str:
        """Return two lines: the type, and the value and its help as `_describe` takes them."""
        if item.type != "plain":
            return f"{item.type}\n{item.value}"
        value = item.value.replace("\\", r"\\").replace(":", r"\:")
        return f"{_kind(item)}\n{value}" + (f":{item.help}" if item.help else "")


@add_completion_class
class FishComplete(LineComplete):
    """Fish: a value and, behind a tabulator, its help.

    It ends the only value with a space, unless that ends in a mark such as `/`: so beside one that
    may go on stands how it does.
    """

    name = "fish"
    source_template = _FISH

    def get_completions(self, args: list[str], incomplete: str) -> list[Item]:
        """Return what may stand there."""
        items = super().get_completions(args, incomplete)
        if len(items) == 1 and items[0].goes_on:
            items.append(CompletionItem(items[0].value + items[0].goes_on))
        return items

    def format_completion(self, item: Item) -> str:
        """Return the type, the value and its help."""
        return f"{item.type},{item.value}" + (f"\t{item.help}" if item.help else "")


def _kind(item: Item) -> str:
    """Return `unfinished` for a value that one may type on after, and `plain` for others."""
    return "unfinished" if item.goes_on or item.value.endswith(_UNFINISHED) else "plain"


def insertion(line: str, piece: str, typed: str, value: str) -> str:
    """Return what bash is to put in the place of a piece of the last word.

    The piece stays as it was typed; what is added is escaped, unless it stands in quotes.

    Args:
        line: the command line up to the cursor.
        piece: its end, from the last of readline's breaks on, as it was typed.
        typed: the value so far, without quotes.
        value: the whole value.
    """
    if not value.startswith(typed):
        return value
    added = value[len(typed) :]
    return piece + (added if _is_in_quotes(line) else _TO_ESCAPE.sub(r"\\\1", added))


def take_apart(line: str) -> tuple[list[str], str]:
    """Return the words of a command line that stand before its last, and that one.

    Variables that are set for the command alone do not belong to it.
    """
    words = _split(line)
    while len(words) > 1 and "=" in words[0]:
        words.pop(0)
    return words[:-1] or [""], words[-1]


def _split(line: str) -> list[str]:
    """Split a line as a shell does, up to a quote that is still open; the last may be empty."""
    reader = shlex.shlex(line + _CURSOR, posix=True)
    reader.whitespace_split, reader.commenters = True, ""
    words: list[str] = []
    try:
        words.extend(reader)
    except ValueError:  # a quote is open
        words.append(reader.token)
    return [word.removesuffix(_CURSOR) for word in words]


def _is_in_quotes(line: str) -> bool:
    try:
        shlex.split(line + _CURSOR)
    except ValueError:
        return True
    return False


def script(cli: click.Command, program: str, shell: str) -> str:
    """Return the script that teaches a shell to ask `program`.

    Raises:
        LookupError: this version of click has none for that shell.
    """
    found = get_completion_class(shell)
    if found is None:
        raise LookupError(f"click has no completion for {shell}: it takes click 8.5 or newer")
    return found(cli, {}, program, VARIABLE).source()


def answer(cli: click.Command, program: str, instruction: str) -> int:
    """Answer a shell, and return the exit code; where nothing fits, nothing is said."""
    shell, _, action = instruction.partition("_")
    found = get_completion_class(shell)
    if found is None:
        return 1
    asked = found(cli, {"obj": App([])}, program, VARIABLE)
    try:
        click.echo(asked.source() if action == "source" else asked.complete())
    except (UmiError, click.ClickException):
        return 1
    except (KeyError, ValueError):  # no script asks: COMP_WORDS or COMP_CWORD is missing or wrong
        return 1
    return 0
