"""The application layer: packets, commands with their replies, result codes (protocol 3)."""
