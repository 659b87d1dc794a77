"""Is a file on a disk of this machine? (Locks and the write-ahead log want one that is.)"""

import os
import re
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
NETWORK_TYPES = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "gfs2"}
    | {"ncpfs", "beegfs", "davfs", "virtiofs"}
    | {"fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.rclone", "fuse.davfs2", "fuse.s3fs"}
)
_OCTAL = re.compile(r"\\([0-7]{3})")


def network_type(path: Path, mounts: str) -> str | None:
    """Return the type of the network file system that a path is on; None on a disk.

    Args:
        path: resolved.
        mounts: the text of /proc/self/mountinfo.
    """
    found = ("", "")
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        place, kind = _unescaped(before.split()[4]), after.split()[0]
        is_under = path == Path(place) or Path(place) in path.parents
        if is_under and len(place) >= len(found[0]):  # a later mount hides an earlier one
            found = (place, kind)
    return found[1] if found[1] in NETWORK_TYPES else None


def network_type_here(path: Path) -> str | None:
    """Return the type of the network file system that a path is on; None if it cannot be told."""
    try:
        return network_type(path, MOUNTS.read_text(encoding="utf-8", errors="surrogateescape"))
    except (OSError, LookupError):
        return None


def _unescaped(place: str) -> str:
    """Return a mount point without its escapes, such as the backslash and 040 for a space."""
    return _OCTAL.sub(lambda match: os.fsdecode(bytes([int(match[1], 8)])), place)
