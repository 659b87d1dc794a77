"""A real PostgreSQL server for tests, and a line to it that can be cut."""

import os
import pwd
import random
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Any

LOCALHOST = "127.0.0.1"
USER = "umi"
GUARDED_USER = "guarded"
PASSWORD = "correct-horse-7f3a"  # noqa: S105 - of the tests' own server
SAFETY_S = 60
_RST_ON_CLOSE = struct.pack("ii", 1, 0)
_CHUNK_BYTES = 4096
_HBA = f"""
local all all trust
host all {GUARDED_USER} {LOCALHOST}/32 scram-sha-256
host all all {LOCALHOST}/32 trust
"""


def binaries() -> Path | None:
    """Return where the server's programs are; None where there is no server."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)


def free_port() -> int:
    with socket.create_server((LOCALHOST, 0)) as listener:
        return int(listener.getsockname()[1])


class Server:
    """A server of our own, in a temporary directory; without a sync, for only processes die here.

    It refuses to run as root, so root runs it as somebody else.
    """

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._directory = Path(tempfile.mkdtemp(prefix="umi-pg-"))
        self._as_user = _somebody_else() if os.geteuid() == 0 else {}
        if self._as_user:
            shutil.chown(self._directory, self._as_user["user"], self._as_user["group"])
        self._data = self._directory / "data"
        self.port = free_port()
        self._count = 0
        self._run("initdb", "-D", self._data, "-U", USER, "-A", "trust", "--no-sync", "-E", "UTF8")
        (self._data / "pg_hba.conf").write_text(_HBA)
        settings = {
            "listen_addresses": f"'{LOCALHOST}'",
            "port": self.port,
            "unix_socket_directories": f"'{self._directory}'",
            "fsync": "off",
            "max_connections": 50,
        }
        with (self._data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in settings.items())
        self._control("start")

    def _run(self, program: str, *args: object) -> None:
        subprocess.run(
            [self._programs / program, *map(str, args)],
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            timeout=SAFETY_S,
            cwd=self._directory,
            **self._as_user,
        )

    def _control(self, *args: str) -> None:
        self._run("pg_ctl", "-D", self._data, "-l", self._directory / "log", "-w", *args)

    def restart(self) -> None:
        """End the server as a crash does, and start it again."""
        self._control("restart", "-m", "immediate")

    def stop(self) -> None:
        self._control("stop", "-m", "immediate")
        shutil.rmtree(self._directory, ignore_errors=True)

    def log(self) -> str:
        return (self._directory / "log").read_text(errors="replace")

    def new_database(self) -> str:
        """Make an empty database and return its name."""
        self._count += 1
        name = f"line{self._count}"
        self.execute("postgres", f"CREATE DATABASE {name} TEMPLATE template0")
        return name

    def execute(self, database: str, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements as the server's owner, and return the rows of the last one."""
        import psycopg

        with psycopg.connect(self.url(database).partition("?")[0], autocommit=True) as db:
            for statement in statements:
                cursor = db.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def url(self, database: str, port: int | None = None, user: str = USER) -> str:
        return f"postgresql://{user}@{LOCALHOST}:{port or self.port}/{database}"


def _somebody_else() -> dict[str, Any]:
    known = {entry.pw_name: entry.pw_gid for entry in pwd.getpwall()}
    name = "postgres" if "postgres" in known else "nobody"
    return {"user": name, "group": known[name], "extra_groups": []}


class Line:
    """A TCP line to a port, which is cut after as many bytes as one likes, either way."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server((LOCALHOST, 0))
        self.port = int(self._listener.getsockname()[1])
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._left: dict[str, int | None] = {"out": None, "in": None}
        self.is_down = False
        self.stays_down = False  # whether nobody gets through after the next cut
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_after(self, way: str, length: int) -> None:
        """Cut the line once that many more bytes have gone "out" to the server, or come "in"."""
        with self._lock:
            self._left[way] = length

    def cut_at_random(self, rng: random.Random) -> None:
        self.cut_after(rng.choice(("out", "in")), rng.randrange(1, 3000))

    def cut(self, *, stay_down: bool = False) -> None:
        """Cut the line now."""
        with self._lock:
            self.is_down = stay_down
            self._cut()

    def repair(self) -> None:
        with self._lock:
            self.is_down = False

    def close(self) -> None:
        self._listener.close()
        self.cut(stay_down=True)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if self.is_down:
                    _reset(client)
                    continue
            try:
                server = socket.create_connection((LOCALHOST, self._target))
            except OSError:
                _reset(client)
                continue
            with self._lock:
                self._sockets |= {client, server}
            for way, source, target in (("out", client, server), ("in", server, client)):
                threading.Thread(
                    target=self._forward, args=(way, source, target), daemon=True
                ).start()

    def _forward(self, way: str, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(_CHUNK_BYTES):
                with self._lock:
                    left = self._left[way]
                    if left is not None and left <= len(data):
                        target.sendall(data[:left])
                        self._left[way] = None
                        self._cut()
                        return
                    if left is not None:
                        self._left[way] = left - len(data)
                target.sendall(data)
        except OSError:
            pass
        for end in (source, target):
            _shut(end)

    def _cut(self) -> None:
        self.cuts += 1
        self.is_down = self.is_down or self.stays_down
        for end in self._sockets:
            _reset(end)
        self._sockets.clear()


def _shut(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


def _reset(end: socket.socket) -> None:
    try:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
    except OSError:
        return
    _shut(end)
    end.close()
