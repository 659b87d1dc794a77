"""`umi auth`: prove who we are, make the device prove who it is, and say what came of it."""

from umi_cli.cli.base import command
from umi_cli.cli.context import App, pass_app
from umi_cli.cli.standing import standing_record, standing_rows
from umi_cli.errors import InputError
from umi_cli.output.render import Table, View

EXAMPLES = """\
umi -p sim:bench.json auth --scheme 1 --role service --key service.key
umi -p tcp:192.0.2.7:4059 auth --key own.pem --cert own.cvc --anchor root.cvc
"""


@command(examples=EXAMPLES)
@pass_app
def auth(app: App) -> None:
    """Authenticate, and report what was proved.

    Under scheme 1 both sides prove that they hold the role's key; under scheme 2 the device's
    certificate is verified, a session key agreed on, and confirmed under encryption.
    """
    if app.settings.scheme == 0:
        raise InputError(
            "under scheme 0 nothing is proved",
            hint="give --key and --cert, or --scheme 1, --role and --key",
        )
    with app.connect() as meter:
        device = meter.session.identify()
        meter.session.begin()
        standing = meter.session.standing
    rows = {"device": str(device), **standing_rows(standing)}
    app.emit({"device": device, **standing_record(standing)}, View(blocks=(Table.pairs(rows),)))
