"""How bytes look to a person: offset, sixteen bytes in hex, the same in ASCII."""

from collections.abc import Iterator

BYTES_PER_LINE = 16


def hexdump(data: bytes, *, start: int = 0, indent: str = "") -> str:
    """Return a dump of bytes, a line for every sixteen, without a newline at the end.

    Args:
        data: the bytes.
        start: the offset of the first one, as the dump counts.
        indent: what stands before each line.
    """
    return "\n".join(indent + line for line in _lines(data, start))


def _lines(data: bytes, start: int) -> Iterator[str]:
    for offset in range(0, len(data), BYTES_PER_LINE):
        chunk = data[offset : offset + BYTES_PER_LINE]
        hexes = f"{chunk[:8].hex(' '):<23}  {chunk[8:].hex(' '):<23}"
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in chunk)
        yield f"{start + offset:08x}  {hexes}  |{text}|"
