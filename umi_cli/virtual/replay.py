"""How a virtual meter keeps from running one command twice, whatever its line does.

The link repeats a stored answer for a repeated frame, but forgets it at RESYNC and at a power cut;
a frame that was doubled or held up on the way may come after either. So what changes the meter is
also remembered here, in the memory that survives the power cut.
"""

from collections import OrderedDict
from collections.abc import Sequence
from hashlib import sha256

from umi_cli.application.packet import Message

REMEMBERED = 64  # commands of a line; it has one at a time: no late frame is so far behind
LATE_WITHIN_S = 60  # how long a held-up frame can be under way; then clients may start over
HALF_OF_TRANSACTIONS = 1 << 15


class ReplayGuard:
    """Remembers the commands that ran, per line.

    Args:
        answers: (line, digest of the command, answer), oldest first; both as hex.
    """

    def __init__(self, answers: Sequence[tuple[str, str, str]] = ()) -> None:
        self._answers: dict[str, OrderedDict[bytes, bytes]] = {}
        for line, digest, answer in answers:
            of_line = self._answers.setdefault(line, OrderedDict())
            of_line[bytes.fromhex(digest)] = bytes.fromhex(answer)
        self._newest: dict[str, tuple[int, int, float]] = {}

    @property
    def answers(self) -> list[tuple[str, str, str]]:
        """Return what is remembered, oldest first, as hex."""
        return [
            (line, digest.hex(), answer.hex())
            for line, of_line in self._answers.items()
            for digest, answer in of_line.items()
        ]

    def answer_to(self, line: str, packet: bytes) -> bytes | None:
        """Return the answer to a command that has run; None if it is new."""
        return self._answers[line].get(_digest(packet)) if line in self._answers else None

    def remember(self, line: str, packet: bytes, answer: bytes) -> None:
        """Remember that a command ran, and what was answered."""
        of_line = self._answers.setdefault(line, OrderedDict())
        of_line[_digest(packet)] = answer
        while len(of_line) > REMEMBERED:
            of_line.popitem(last=False)

    def is_late(self, line: str, message: Message, now: float) -> bool:
        """Tell whether a command was overtaken by a newer one of the same line.

        A client that starts its transactions over has newer times of creation, so it is none; nor
        is what was created longer before than anything is under way: else one command from the
        far future would have every later one left unanswered.
        """
        newest = self._newest.get(line)
        if newest is not None and now - newest[2] < LATE_WITHIN_S:
            behind = (newest[0] - message.transaction) & 0xFFFF
            older_s = newest[1] - message.created_s
            if 0 < behind < HALF_OF_TRANSACTIONS and 0 < older_s <= LATE_WITHIN_S:
                return True
        self._newest[line] = (message.transaction, message.created_s, now)
        return False

    def forget_line(self, line: str) -> None:
        """Forget a line that has gone: whoever says the same on the next one means it."""
        self._newest.pop(line, None)
        self._answers.pop(line, None)


def _digest(packet: bytes) -> bytes:
    return sha256(packet).digest()[:16]
