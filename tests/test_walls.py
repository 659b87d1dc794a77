"""The walls between the rooms: who may import whom, and where a clock or a port may stand."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "umi_cli"

FLOOR = {"errors", "names", "wire", "types", "crypto", "files", "mutation"}
PURE = {
    "link",
    "optical",
    "application",
    "security",
    "certificates",
    "objects",
    "images",
    "explain",
}
MAY_IMPORT = {
    "errors": set[str](),
    "wire": {"errors"},
    "names": set[str](),
    "types": {"wire", "errors", "names"},
    "crypto": {"errors"},
    "files": {"errors"},
    "mutation": set[str](),
    "link": FLOOR,
    "application": FLOOR,
    "objects": FLOOR,
    "certificates": FLOOR,
    "security": FLOOR | {"application", "certificates"},
    "images": FLOOR | {"application", "certificates", "security"},
    "explain": FLOOR | PURE,
    "optical": {"errors", "link"},
    "transports": {"errors", "names", "link", "optical"},
    "tokens": FLOOR | {"security"},
    "device": FLOOR | PURE | {"transports.base"},
    "virtual": FLOOR | PURE,
    "connecting": FLOOR | PURE | {"device", "transports", "virtual"},
    "reader_fuzz": FLOOR | PURE | {"device", "transports", "virtual"},
    "certify": FLOOR | PURE | {"device", "transports.base"},
    "provision": FLOOR | {"device", "images", "certificates", "objects", "security.sources"},
    "output": FLOOR | {"objects"},
    "spec": {"errors"},
}
"""What each room may import of the others; `cli` may import all."""

ONLY_IN = {
    "click": {"cli"},
    "tabulate": {"output"},
    "matplotlib": {"output"},
    "cryptography": {"crypto"},
    "pkcs11": {"tokens"},
    "serial": {"transports"},
    "spidev": {"transports"},
    "gpiod": {"transports"},
    "socket": {"transports", "virtual.serve", "virtual.channels"},
    "selectors": {"virtual.serve", "cli"},
    "select": {"transports"},
    "time": {
        "transports",
        "device",
        "virtual.serve",
        "cli",
        "provision.sqlite_journal",
        "provision.postgres_journal",
    },
    "sqlite3": {"provision.sqlite_journal"},
    "psycopg": {"provision.postgres_journal"},
    "threading": set[str](),
}
"""Libraries that stand in some rooms alone."""


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path) -> Iterator[tuple[str, int]]:
    """Yield every module that a file imports, wherever in it, with the line."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def is_within(module: str, rooms: set[str]) -> bool:
    return any(module == room or module.startswith(room + ".") for room in rooms)


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_imports_go_downward_only(path: Path) -> None:
    own = name_of(path)
    room = own.partition(".")[0]
    if room in ("cli", "", "__init__", "__main__"):
        return
    allowed = MAY_IMPORT[room] | {room}
    for module, line in imports_of(path):
        if module.startswith("umi_cli."):
            target = module.removeprefix("umi_cli.")
            assert is_within(target, allowed), f"{own}, line {line}, imports {target}"


@pytest.mark.parametrize("path", modules(), ids=name_of)
def test_libraries_stand_in_their_rooms(path: Path) -> None:
    own = name_of(path)
    for module, line in imports_of(path):
        rooms = ONLY_IN.get(module.partition(".")[0])
        assert rooms is None or is_within(own, rooms), f"{own}, line {line}, imports {module}"


def test_no_exception_is_caught_in_general_outside_the_root_of_the_commands() -> None:
    found = {
        name_of(path)
        for path in modules()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ExceptHandler) and is_general(node.type)
    }
    assert found == {"cli.main"}


def is_general(caught: ast.expr | None) -> bool:
    """Tell whether an `except` catches everything."""
    if isinstance(caught, ast.Tuple):
        return any(map(is_general, caught.elts))
    names = ("Exception", "BaseException")
    return caught is None or (isinstance(caught, ast.Name) and caught.id in names)


def test_the_table_of_rooms_is_whole() -> None:
    """A room that nobody put in the table would be free to import anything."""
    rooms = {name_of(path).partition(".")[0] for path in modules()}
    assert rooms - {"", "__init__", "__main__", "cli"} <= set(MAY_IMPORT)
