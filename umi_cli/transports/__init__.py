"""The only room with ports: in-process, TCP and serial lines."""
