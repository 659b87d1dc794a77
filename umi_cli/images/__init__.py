"""Image packages: built, signed, encrypted, verified; pure, and in pieces (protocol 6.5, 7)."""
