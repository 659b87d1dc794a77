"""What bytes mean, layer by layer with offsets, and which check failed; needs no device."""
