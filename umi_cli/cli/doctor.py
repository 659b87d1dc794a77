"""`umi doctor`: is everything in place? The host, its ports, the keys, the device that is named."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import click

from umi_cli.cli.base import command
from umi_cli.cli.context import App, pass_app
from umi_cli.cli.doctor_check import Check, State
from umi_cli.errors import InputError, UmiError
from umi_cli.output.render import Table, View

EXAMPLES = """\
umi doctor
umi -p sim doctor --json
umi doctor --bundle report.zip
"""
COLUMNS = ("check", "state", "found", "what to do")


class UnfitError(UmiError):
    """Something does not work as it is; named and numbered as the first of it.

    Args:
        failed: the checks that failed.
    """

    def __init__(self, failed: list[Check]) -> None:
        first = failed[0]
        error = first.error or UmiError(first.found)
        others = f"; {len(failed) - 1} more failed" if len(failed) > 1 else ""
        super().__init__(f"{first.name}: {first.found}{others}", hint=first.advice)
        self.code = error.code  # type: ignore[misc]
        self.exit_code = error.exit_code  # type: ignore[misc]


@command(examples=EXAMPLES, forgives_settings=True)
@click.option("--bundle", metavar="FILE.zip", help="Write a report for others, without secrets")
@click.option("--with-identity", is_flag=True, help="Leave serial numbers and IDs in the bundle")
@pass_app
def doctor(app: App, bundle: str | None, with_identity: bool) -> None:
    """Check this host, its ports and keys, and the device.

    The device is that which -p names; without it, the host alone is checked.

    Nothing is sent to a port that was not named. The exit code is 0 if no check fails, else that of
    the first that does: 2 settings, 10 no port, 11 busy, 12 no permission, 14 no answer, 22 key,
    24 certificate.
    """
    if with_identity and not bundle:
        raise InputError("--with-identity is for a bundle", hint="add --bundle FILE.zip")
    if bundle == "-":
        raise InputError(
            "a bundle is a file, and not for stdout", hint="name it: --bundle FILE.zip"
        )
    if bundle:
        from umi_cli.cli.cert_files import check_place

        check_place(app, bundle)
    checks = list(_checks(app))
    data: dict[str, Any] = {"checks": [check.record for check in checks]}
    data["counts"] = {state.value: _count(checks)[state] for state in State}
    blocks: list[Table | str] = [_table(checks)]
    if bundle:
        from umi_cli.cli.doctor_bundle import write_bundle

        data["bundle"] = {
            "file": bundle,
            "holds": write_bundle(app, bundle, data, with_identity=with_identity),
        }
        blocks.append(f"{bundle} holds {', '.join(data['bundle']['holds'])}")
    app.emit(data, View(blocks=blocks, csv=_table(checks)))
    if failed := [check for check in checks if check.state is State.FAIL]:
        raise UnfitError(failed)


def _checks(app: App) -> Iterator[Check]:
    from umi_cli.cli.doctor_host import host_checks
    from umi_cli.cli.doctor_keys import key_checks
    from umi_cli.cli.doctor_link import link_checks
    from umi_cli.cli.doctor_ports import port_checks

    yield from host_checks(app)
    yield from port_checks()
    yield from key_checks(app)
    if app.settings.port:
        yield from link_checks(app)


def _count(checks: list[Check]) -> Counter[State]:
    return Counter(check.state for check in checks)


def _table(checks: list[Check]) -> Table:
    rows = [[check.name, check.state.value, check.found, check.advice or None] for check in checks]
    return Table(columns=COLUMNS, rows=rows)
