"""A shell at a pseudo-terminal, with a person who types and looks at the screen."""

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import ROOT, environment
from umi_cli.cli.main import umi
from umi_cli.cli.shells import script

PROMPT = "READY>"
PATIENCE_S = 60  # until a test fails, not until it passes
_CONTROL = re.compile(
    r"\x1b(?:\[[0-9;?>=]*[ -/]*[@-~]|[()][0-9A-B]|\][^\x07]*\x07|[=>])|[\r\x07\x0f]"
)

STAND_IN = """\
#!/bin/sh
# Answers completions as umi does, and shows which words it was run with.
if [ -n "$_UMI_COMPLETE" ]; then exec "{python}" -m umi_cli "$@"; fi
printf '<'; for word; do printf '%s|' "$word"; done; echo '>'
"""


class Shell:
    """An interactive shell that completes `umi`, as installed in the usual places.

    Args:
        name: `bash`, `zsh` or `fish`.
        home: a directory of its own, which is also where it works.
        env: more environment variables.
    """

    def __init__(self, name: str, home: Path, **env: str) -> None:
        if shutil.which(name) is None:
            pytest.skip(f"{name} is not installed")
        self._near, far = os.openpty()
        self.screen, self._marks = "", 0
        variables = {
            "HOME": str(home),
            "PATH": f"{_bin(home)}:{os.environ['PATH']}",
            "TERM": "xterm",
            "XDG_CONFIG_HOME": str(home / ".config"),
            "XDG_DATA_DIRS": f"{home / 'share'}:/usr/local/share:/usr/share",
            "PYTHONPATH": str(ROOT),
            **env,
        }
        self._process = subprocess.Popen(
            _INSTALL[name](home),
            cwd=home,
            env=environment(variables),
            stdin=far,
            stdout=far,
            stderr=far,
            start_new_session=True,
            preexec_fn=_take_terminal,
        )
        os.close(far)
        self.see(PROMPT)

    def clear(self) -> None:
        """Leave what stands in the line, and forget what is and will be on the screen."""
        self._marks += 1
        self.type(f"\x15printf '%s\\n' mark''{self._marks}\r")
        self.see(rf"mark{self._marks}[\s\S]*{PROMPT}")
        self.screen = ""

    def type(self, keys: str) -> None:
        """Type; a tabulator asks for completion."""
        os.write(self._near, keys.encode())

    def see(self, pattern: str) -> str:
        """Look until the screen shows a pattern; return what it matched."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not (found := re.search(pattern, self.screen)):
            left_s = deadline_s - time.monotonic()
            ready = left_s > 0 and select.select([self._near], [], [], left_s)[0]
            assert ready, f"no {pattern!r} on the screen:\n{self.screen}"
            self.screen += _CONTROL.sub("", os.read(self._near, 65536).decode(errors="replace"))
        return found[0]

    def words_after(self, keys: str) -> list[str]:
        """Return the words that `umi` is run with after something is typed, and Enter."""
        self.type(keys + "\r")
        return self.see(r"<[^>]*\|>")[1:-2].split("|")

    def close(self) -> None:
        """End the shell and what it has started."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._near)


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _bin(home: Path) -> Path:
    path = home / "bin"
    path.mkdir()
    program = path / "umi"
    program.write_text(STAND_IN.replace("{python}", sys.executable), encoding="utf-8")
    program.chmod(0o755)
    return path


def _place(home: Path, shell: str, where: str) -> Path:
    path = home / "share" / where
    path.parent.mkdir(parents=True)
    path.write_text(script(umi, "umi", shell), encoding="utf-8")
    return path


def _bash(home: Path) -> list[str]:
    path = _place(home, "bash", "bash-completion/completions/umi")
    rc = home / "rc"
    rc.write_text(f"source {path}\nPS1='{PROMPT}'\n", encoding="utf-8")
    return ["bash", "--noprofile", "--rcfile", str(rc), "-i"]


def _zsh(home: Path) -> list[str]:
    path = _place(home, "zsh", "zsh/site-functions/_umi")
    text = f"fpath=({path.parent} $fpath)\nautoload -Uz compinit\ncompinit -u\nPS1='{PROMPT}'\n"
    (home / ".zshrc").write_text(text, encoding="utf-8")
    return ["zsh", "-d", "-i"]


def _fish(home: Path) -> list[str]:
    _place(home, "fish", "fish/vendor_completions.d/umi.fish")
    return ["fish", "-i", "-C", f"function fish_prompt; echo '{PROMPT}'; end"]


_INSTALL = {"bash": _bash, "zsh": _zsh, "fish": _fish}
