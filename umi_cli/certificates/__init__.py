"""Card-verifiable certificates: their bytes, their requests, their chains (protocol 6.4)."""
