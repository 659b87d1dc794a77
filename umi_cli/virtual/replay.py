"""How a virtual meter keeps from running one command twice, whatever its line does.

The link repeats a stored answer for a repeated frame, but forgets it at RESYNC and at a power cut;
a frame that was doubled or held up on the way may come after either. So what changes the meter is
also remembered here, in the memory that survives the power cut.
"""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import sha256

from umi_cli.application.packet import Message

REMEMBERED = 64  # commands; a link has one at a time, so a late frame is never that far behind
LATE_WITHIN_S = 60  # how long a held-up frame can be under way; then clients may start over
HALF_OF_TRANSACTIONS = 1 << 15


class ReplayGuard:
    """Remembers the commands that ran, per line.

    Args:
        answers: (digest of line and command, answer), oldest first; both as hex.
    """

    def __init__(self, answers: Sequence[tuple[str, str]] = ()) -> None:
        self._answers = OrderedDict(
            (bytes.fromhex(digest), bytes.fromhex(answer)) for digest, answer in answers
        )
        self._newest: dict[str, tuple[int, int, float]] = {}

    @property
    def answers(self) -> list[tuple[str, str]]:
        """Return what is remembered, oldest first, as hex."""
        return [(digest.hex(), answer.hex()) for digest, answer in self._answers.items()]

    def answer_to(self, line: str, packet: bytes) -> bytes | None:
        """Return the answer to a command that has run; None if it is new."""
        return self._answers.get(_digest(line, packet))

    def remember(self, line: str, packet: bytes, answer: bytes) -> None:
        """Remember that a command ran, and what was answered."""
        self._answers[_digest(line, packet)] = answer
        while len(self._answers) > REMEMBERED:
            self._answers.popitem(last=False)

    def is_late(self, line: str, message: Message, now: float) -> bool:
        """Tell whether a command was overtaken by a newer one of the same line.

        A client that starts its transactions over has newer times of creation, so it is none.
        """
        newest = self._newest.get(line)
        if newest is not None and now - newest[2] < LATE_WITHIN_S:
            behind = (newest[0] - message.transaction) & 0xFFFF
            if 0 < behind < HALF_OF_TRANSACTIONS and message.created_s < newest[1]:
                return True
        self._newest[line] = (message.transaction, message.created_s, now)
        return False

    def forget_line(self, line: str) -> None:
        """Forget the order of a line's commands: the line has gone."""
        self._newest.pop(line, None)


def _digest(line: str, packet: bytes) -> bytes:
    return sha256(line.encode() + b"\x00" + packet).digest()[:16]
