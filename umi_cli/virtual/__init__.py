"""The other end of the wire: a virtual meter and the faults of its line."""
