"""umi-cli: the command-line toolkit and Python API for UMI, the Universal Metering Interface.

>>> import umi_cli
>>> with umi_cli.connect("sim") as meter:
...     meter.read("umi.1.1.0.0/3").value
'31733978'
"""

TYPE_CHECKING = False  # as in typing, whose import takes longer than all that stands here
if TYPE_CHECKING:
    from umi_cli.connecting import connect as connect

__version__ = "0.1.0"
__all__ = ["__version__", "connect"]


def __getattr__(name: str) -> object:
    """Import `connect` on first use: `umi --version` must not pay for the whole stack."""
    if name == "connect":
        from umi_cli.connecting import connect

        return connect
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
