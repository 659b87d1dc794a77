"""The compliance suite: numbered tests of a UMI device, and of a reader; what they found."""
