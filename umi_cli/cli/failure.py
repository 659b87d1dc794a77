"""What an exception means to the user: a name, an exit code, a sentence, the next step."""

import re
from dataclasses import dataclass
from typing import Self

import click

from umi_cli.cli.orders import HungUp, Terminated
from umi_cli.errors import InputError, OutcomeUnknownError, RefusedError, UmiError

_ORDERS = (KeyboardInterrupt, Terminated)
INTERNAL, USAGE, INTERRUPTED, BROKEN_PIPE, TERMINATED = 1, 2, 130, 141, 143


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a command did not do its work."""

    code: str
    """Stable name, such as `access-denied`."""
    exit: int
    """Exit code of the process."""
    message: str
    """One sentence."""
    hint: str = ""
    """What to do next."""
    result: tuple[int, str] | None = None
    """The device's result code and its name."""
    is_ordered: bool = False
    """Somebody wanted the end, with Ctrl-C or a signal: what would come next is not begun."""

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """Return what an exception means; one that is not foreseen is an internal error."""
        if isinstance(error, UmiError):
            # Of an array that came in part, or of an image that the device refused.
            cause = getattr(error, "cause", error)
            result = (cause.number, cause.name) if isinstance(cause, RefusedError) else None
            return cls(
                code=error.code,
                exit=error.exit_code,
                message=str(error),
                hint=error.hint,
                result=result,
                is_ordered=isinstance(error.__cause__, _ORDERS),
            )
        if isinstance(error, click.ClickException):
            message, hint = _sentence(error), _usage_hint(error)
            return cls(code=InputError.code, exit=USAGE, message=message, hint=hint)
        if isinstance(error, KeyboardInterrupt | click.Abort):
            return cls._of_order(error, "interrupted", INTERRUPTED)
        if isinstance(error, Terminated):
            why = ": the terminal was closed" if isinstance(error, HungUp) else ""
            return cls._of_order(error, "terminated", TERMINATED, why)
        what = " ".join(str(error).split())
        message = f"internal error: {type(error).__name__}" + (f": {what}" if what else "")
        hint = "this is a fault of umi; report it with what -vv shows"
        return cls(code=UmiError.code, exit=INTERNAL, message=message, hint=hint)

    @classmethod
    def _of_order(cls, error: BaseException, code: str, exit: int, why: str = "") -> Self:
        """Return what an order to end means, with what nobody knows because of it."""
        notes = getattr(error, "__notes__", ())
        return cls(
            code=code,
            exit=exit,
            message="; ".join([f"{code}{why}", *notes]),
            hint=OutcomeUnknownError.default_hint if notes else "",
            is_ordered=True,
        )

    @property
    def document(self) -> dict[str, object]:
        """Return the `error` of the JSON document."""
        record: dict[str, object] = {
            "code": self.code,
            "exit": self.exit,
            "message": self.message,
            "hint": self.hint,
        }
        if self.result is not None:
            record["result"] = {"number": self.result[0], "name": self.result[1]}
        return record


def _sentence(error: click.ClickException) -> str:
    """Return click's message as our messages are: one line, no capital, no full stop."""
    text = " ".join(getattr(error, "message", "").split())
    if text == "Missing command.":
        return "no command given"
    if isinstance(error, click.BadParameter):
        text = " ".join(error.format_message().split())
    text = text.rstrip(".") or type(error).__name__
    return text[:1].lower() + text[1:]


def _usage_hint(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    if isinstance(error, click.NoSuchOption):
        if re.fullmatch(r"-\d.*", error.option_name):
            return "put -- before a value that begins with a minus sign"
        if error.possibilities:
            return f"did you mean {' or '.join(error.possibilities)}?"
    return f"see: {context.command_path} --help" if context else "see: umi --help"
