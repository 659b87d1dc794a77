"""The reader that is certified, where it is a command that we run: started, watched, ended."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress

from umi_cli.certify.report import CommandRecord, printable
from umi_cli.errors import InputError

KEPT_BYTES = 4000  # of what it said on stderr: the last ones tell


class ReaderProcess:
    """A reader's command, with a group of its own so that what it starts ends with it.

    Args:
        words: the command line, which no shell sees.

    Raises:
        InputError: it cannot be run.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.was_killed = False
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - `end` closes it
        self._record: CommandRecord | None = None
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the user's own command
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._errors,
                start_new_session=True,
            )
        except OSError as error:
            self._errors.close()
            raise InputError(f"--each: {words[0]} cannot be run: {error.strerror}") from error

    @property
    def has_ended(self) -> bool:
        """Tell whether it has ended."""
        if self._process.returncode is not None or not hasattr(os, "waitid"):  # macOS before 3.13
            return self._process.poll() is not None
        # Nobody collects it yet: until `end` its number, and its group's, is given to nobody else.
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._process.pid, options) is not None

    @property
    def exit(self) -> int | None:
        """Return what it ended with, once `end` was called; below 0 by a signal of others.

        None if we have ended it.
        """
        return None if self.was_killed else self._process.returncode

    @property
    def last_words(self) -> str:
        """Return the last line that it said on stderr, once it has ended."""
        said = "" if self._record is None else self._record.stderr.strip()
        return said.rpartition("\n")[2]

    def end(self) -> CommandRecord:
        """End it if it has not, with all that it started; return how it ended."""
        if self._record is None:
            self.was_killed = not self.has_ended
            with suppress(ProcessLookupError):  # what it has left behind is ended, too
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._record = CommandRecord(exit=self.exit, stderr=self._said())
        return self._record

    def _said(self) -> str:
        with self._errors as file:
            length = file.seek(0, os.SEEK_END)
            file.seek(max(0, length - KEPT_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
        return "\n".join(map(printable, lines))
