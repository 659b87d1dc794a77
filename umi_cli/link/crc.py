"""The checksum of link frames (protocol 2.2).

CCITT polynomial 0x1021, initial value 0; the bits of each byte enter least significant first and
the register is not reversed on output. Reversing the bits of each input byte first makes this the
CRC that the standard library computes in C.
"""

from binascii import crc_hqx

_REVERSED_BITS = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def crc(data: bytes) -> int:
    """Return the CRC of header and payload: 0..65535, sent low byte first."""
    return crc_hqx(data.translate(_REVERSED_BITS), 0)
