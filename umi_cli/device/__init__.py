"""The session a library user holds: read, write, clock, access."""
