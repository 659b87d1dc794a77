"""Security schemes: how packets are sealed and opened (protocol 5 and 6)."""
