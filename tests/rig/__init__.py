"""The bench: genuine spidev and gpiod modules against an emulated kernel, without hardware."""
