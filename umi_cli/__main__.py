"""Run the command line with `python -m umi_cli`."""

from umi_cli.cli.main import main

main()
