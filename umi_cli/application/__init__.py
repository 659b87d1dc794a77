"""The application layer: packets, commands with their replies, result codes (protocol 3)."""

# Importing the commands registers them by packet type.
from umi_cli.application import commands as commands
from umi_cli.application import security_commands as security_commands
