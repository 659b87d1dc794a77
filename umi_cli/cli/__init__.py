"""The command line: click, thin. Arguments in, records out."""
