"""What can go wrong, in one tree: each error knows its name, its exit code and the next step.

>>> import umi_cli
>>> with umi_cli.connect("sim") as meter:
...     try:
...         meter.write("valve", "closed")
...     except UmiError as error:
...         print(error.exit_code, error.code, "-", error)
23 access-denied - the device refused WRITE_OBJECT umi.255.0.0.32: ACCESS_DENIED (9)

The names and numbers are those of the command line's documented exit codes; the root of the
command line catches `UmiError` once and prints it.
"""

from typing import ClassVar


def install_hint(extra: str) -> str:
    """Return how a part that is not installed is got; in quotes, for zsh expands brackets."""
    return f"install it with: pip install 'umi-cli[{extra}]'"


class UmiError(Exception):
    """Anything that umi-cli reports to its user: one sentence, and what to do next."""

    code: ClassVar[str] = "internal-error"
    """Stable name of the error, as `--json` prints it."""
    exit_code: ClassVar[int] = 1
    """Exit code of the process."""
    default_hint: ClassVar[str] = ""
    """The next step, where the place that raises knows no better one."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint or self.default_hint


class InputError(UmiError):
    """What the user typed or handed over cannot be understood."""

    code = "usage"
    exit_code = 2


class NoSuchPortError(UmiError):
    """There is no such port, device or listener."""

    code = "no-such-port"
    exit_code = 10
    default_hint = "list what this host has with: umi ports"


class PortBusyError(UmiError):
    """Another program holds the port."""

    code = "port-busy"
    exit_code = 11
    default_hint = "close the other program, or wait until it is done"


class PortPermissionError(UmiError):
    """The operating system does not let this user open the port."""

    code = "no-permission"
    exit_code = 12


class NoAnswerError(UmiError):
    """The port opened, and nothing came back at all."""

    code = "no-answer"
    exit_code = 14
    default_hint = "check that the device is powered, connected and addressed by the right port"


class LinkError(UmiError):
    """The link failed beyond the retries."""

    code = "link-error"
    exit_code = 15
    default_hint = "check the line (rate, wiring, noise), or raise --retries and --timeout"


class PacketTooLargeError(LinkError):
    """The device cannot take a packet of that length."""

    code = "packet-too-large"
    default_hint = "write fewer elements at a time, such as PART[0:99]"


class SignOnError(UmiError):
    """The sign-on failed, or what answers does not speak UMI."""

    code = "not-umi"
    exit_code = 16


class LostError(UmiError):
    """The device answered before, and was lost in the middle."""

    code = "lost"
    exit_code = 17
    default_hint = "connect again, and give the command once more"


class OutcomeUnknownError(LostError):
    """A command was sent, its answer was lost, and nobody can tell whether it ran."""

    code = "outcome-unknown"
    default_hint = "connect again, and read back what the interrupted command was to change"


class SessionDeadError(LostError):
    """A sealed session has ended, or was given up because its counters are in doubt."""

    code = "session-dead"
    default_hint = "start a new session; read back what the last command was to change"


class AuthenticationError(UmiError):
    """The device refused the authentication."""

    code = "authentication-refused"
    exit_code = 20
    default_hint = "check --role and --key: is it the key of this role, in this device?"


class LockedOutError(UmiError):
    """The device is locked after failed authentications."""

    code = "locked-out"
    exit_code = 21
    default_hint = "wait a minute, and check the key before it is tried again"


class KeyUnusableError(UmiError):
    """A key, certificate or PIN is missing or cannot be read."""

    code = "key-unusable"
    exit_code = 22


class NotTrustedError(UmiError):
    """A certificate is not trusted."""

    code = "not-trusted"
    exit_code = 24
    default_hint = "look at it with: umi cert show FILE; whom to trust says --anchor"


class SignatureError(UmiError):
    """A signature, MAC or authentication tag does not verify: forged, damaged, or another key's."""

    code = "bad-signature"
    exit_code = 33  # as malformed data: nothing the device said can be believed
    default_hint = "believe nothing that came with it; check the keys of both sides, then the line"


class UploadInterruptedError(UmiError):
    """An upload has stopped on its way, and can go on where it is."""

    code = "upload-interrupted"
    exit_code = 42


class RefusedError(UmiError):
    """The device refused a command with a result code.

    Args:
        number: the result code, 1..255 (protocol 3.3).
        name: its name, such as `ACCESS_DENIED`.
    """

    code = "refused"
    exit_code = 30

    def __init__(self, message: str, *, number: int, name: str, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.number = number
        self.name = name


class AccessDeniedError(RefusedError):
    """The role we act in may not do this (result code 9)."""

    code = "access-denied"
    exit_code = 23
    default_hint = "act in a role that may, with --role and --key: umi objects tells which"


class UnknownObjectError(RefusedError):
    """There is no such object, member, element or event (result codes 4, 5, 6, 15)."""

    code = "unknown-object"
    exit_code = 31
    default_hint = "list what the datasheet knows with: umi objects"


class NotInDatasheetError(UmiError):
    """The datasheet has no such object, member or event, or the code lies outside its banks."""

    code = "unknown-object"
    exit_code = 31
    default_hint = UnknownObjectError.default_hint


class ReadBackError(UmiError):
    """What was read back differs from what was written."""

    code = "read-back-differs"
    exit_code = 32


class MalformedError(UmiError):
    """Bytes from outside do not have the form they must have.

    Args:
        offset: where in the decoded bytes the fault was seen, counted from 0, if known.
    """

    code = "malformed"
    exit_code = 33

    def __init__(self, message: str, *, offset: int | None = None, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.offset = offset


class ImageError(UmiError):
    """An image package is refused.

    Args:
        reason: the name of the check that failed, such as `wrong-hash`.
        cause: what the device refused it with, if it was the device.
    """

    def __init__(
        self, message: str, *, reason: str = "", hint: str = "", cause: RefusedError | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.reason = reason
        self.cause = cause


class ImageInvalidError(ImageError):
    """An image package is damaged, forged, or not in its form."""

    code = "image-invalid"
    exit_code = 40
    default_hint = "take the package once more from who built it; umi image show tells what it says"


class WrongTargetError(ImageError):
    """An image package is for other devices, or no newer than what the device has."""

    code = "wrong-target"
    exit_code = 41
    default_hint = "see what the package is for with: umi image show FILE"


class UnitFailedError(UmiError):
    """A unit on the factory line failed a step."""

    code = "unit-failed"
    exit_code = 50


class ConflictError(UmiError):
    """A value or a unit is taken: used by another unit, provisioned already, or being worked on."""

    code = "conflict"
    exit_code = 51


class PoolExhaustedError(ConflictError):
    """Every value of a pool has been given to a unit."""

    code = "pool-exhausted"
    default_hint = "add a range to the pool; values that were given are never given again"


class PlaceholderError(InputError):
    """A value that nobody was given stands where a unit's own should: zeros, ones, a default."""

    code = "placeholder"
    default_hint = "find out why the value is missing; nothing was recorded"


class JournalError(UmiError):
    """The journal of a factory line cannot be used, or cannot be believed."""

    code = "journal-unusable"
    exit_code = 52


class TamperedError(JournalError):
    """The journal is not what was written.

    Args:
        number: of the first entry that was changed, removed, put elsewhere or cut off.
    """

    code = "journal-tampered"
    default_hint = "keep the file as it is, as evidence; go back to the last copy that verifies"

    def __init__(self, message: str, *, number: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.number = number


class SomeFailedError(UmiError):
    """Some of many units failed; the others are done."""

    code = "some-failed"
    exit_code = 53
