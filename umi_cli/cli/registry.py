"""Which commands there are: each with its module and one line of help, so that none is imported.

A test compares the lines here with the commands' own.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command lives, and what it does in one line."""

    target: str
    """Module and attribute, `umi_cli.cli.read:read`."""
    help: str
    """The first sentence of its help."""


COMMANDS: dict[str, Entry] = {
    "info": Entry("umi_cli.cli.info:info", "Show who a device is, what it runs, and its security."),
    "read": Entry("umi_cli.cli.read:read", "Read objects, members and elements."),
    "write": Entry("umi_cli.cli.write:write", "Write an object, a member or elements."),
    "watch": Entry("umi_cli.cli.watch:watch", "Read parts of a device again and again."),
    "objects": Entry("umi_cli.cli.objects:objects", "List the objects of the datasheet."),
    "access": Entry("umi_cli.cli.access:access", "Show and set who may read and write an object."),
    "clock": Entry("umi_cli.cli.clock:clock", "Show and set a device's clock."),
    "profile": Entry("umi_cli.cli.profile:profile", "Read the load profile."),
    "events": Entry("umi_cli.cli.events:events", "Read the event log, and follow it."),
    "key": Entry("umi_cli.cli.key:key", "Make and show own keys; nothing secret is shown."),
    "cert": Entry(
        "umi_cli.cli.cert:cert",
        "Make, request, issue, show and verify certificates.",
    ),
    "device": Entry(
        "umi_cli.cli.device:device", "Manage the keys and certificates inside a device."
    ),
    "image": Entry(
        "umi_cli.cli.image:image", "Build, show, verify, sign and encrypt image packages."
    ),
    "export": Entry("umi_cli.cli.export:export", "Write all that a device gives to one JSON file."),
    "diff": Entry("umi_cli.cli.diff:diff", "Compare two exports, or an export with the device."),
    "auth": Entry("umi_cli.cli.auth:auth", "Authenticate, and report what was proved."),
    "sign": Entry(
        "umi_cli.cli.sign:sign", "Sign a command here and now, to be sent elsewhere later."
    ),
    "send": Entry("umi_cli.cli.send:send", "Send a command that was signed elsewhere."),
    "decode": Entry(
        "umi_cli.cli.decode:decode",
        "Explain frames, packets, certificates, images and captures.",
    ),
    "provision": Entry(
        "umi_cli.cli.provision:provision", "Run a factory line, and account for it."
    ),
    "sim": Entry("umi_cli.cli.sim:sim", "Serve the virtual meter."),
    "certify": Entry(
        "umi_cli.cli.certify:certify", "Test a device against the standard, test by test."
    ),
    "fuzz": Entry("umi_cli.cli.fuzz:fuzz", "Send a device spoilt exchanges, and see it survive."),
    "host": Entry(
        "umi_cli.cli.host:host", "Be a Host: serve its objects, and forward to its ports."
    ),
    "shell": Entry(
        "umi_cli.cli.shell:shell", "Keep one session with a device, and run commands in it."
    ),
    "run": Entry("umi_cli.cli.batch:run", "Run a batch of commands, with a result for each line."),
    "config": Entry(
        "umi_cli.cli.config:config", "Show the settings that hold, and where they come from."
    ),
    "ports": Entry("umi_cli.cli.ports:ports", "List the ports of this host; nothing is sent."),
    "doctor": Entry(
        "umi_cli.cli.doctor:doctor", "Check this host, its ports and keys, and the device."
    ),
    "spec": Entry("umi_cli.cli.spec:spec", "Say what of UMI is implemented, and on what grounds."),
}
"""The commands of `umi`, in the order its help lists them."""

BUILT_INS: dict[str, Entry] = {
    "use": Entry("umi_cli.cli.built_ins:use", "Set options for the lines that follow."),
    "close": Entry(
        "umi_cli.cli.built_ins:close", "Close the connection; the next command opens it again."
    ),
    "history": Entry("umi_cli.cli.built_ins:history", "List what was typed before."),
    "help": Entry("umi_cli.cli.built_ins:help_", "Show the help of a command, or of all."),
    "exit": Entry("umi_cli.cli.built_ins:leave", "End the shell, as Ctrl-D does."),
    "quit": Entry("umi_cli.cli.built_ins:leave", "End the shell, as Ctrl-D does."),
}
"""What a line of a shell may be beside those."""
