"""How the virtual meter says no: with a result code (protocol 3.3)."""

from umi_cli.application.codes import ResultCode


class Refusal(Exception):
    """A command is answered with a result code other than OK."""

    def __init__(self, code: ResultCode) -> None:
        super().__init__(code.name)
        self.code = code
