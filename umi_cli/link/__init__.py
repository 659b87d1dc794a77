"""The link layer: frames, fragments, and the sans-I/O connection (protocol 2)."""
