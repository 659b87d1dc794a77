"""Where is a journal on PostgreSQL? A URL without any secret in it.

    postgresql://[USER@][HOST][:PORT]/DATABASE[?sslmode=verify-full&password-source=file:PATH…]

The password comes from where libpq finds it (PGPASSFILE, ~/.pgpass, `passfile=`), or from
`password-source=`, which takes what every other secret's source may be (cli.md, Secrets).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

from umi_cli.errors import InputError
from umi_cli.security.sources import SecretSource

PARAMETERS = frozenset(
    {"host", "port", "user", "passfile", "sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl"}
    | {"channel_binding", "gssencmode", "krbsrvname", "target_session_attrs", "require_auth"}
)
"""What may stand behind the ? and is libpq's."""
SOURCE = "password-source"
_SECRETS = frozenset({"password", "sslpassword", "pgpassword"})
_FORM_HINT = "write postgresql://USER@HOST/DATABASE"


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresAddress:
    """A database, and how to reach it."""

    parameters: Mapping[str, str]
    """By libpq's names; never a secret."""
    password_source: SecretSource | None = None
    """None: libpq looks for the password, if the server asks for one."""

    @classmethod
    def parse(cls, url: str) -> Self:
        """Parse a URL.

        Raises:
            InputError: it has another form, an unknown parameter, or a password in it.
            KeyUnusableError: the source of the password is none.
        """
        try:
            parts = urlsplit(url)
            port, has_password = parts.port, parts.password is not None
            query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        except ValueError:  # not chained: what is wrong with the URL may be a piece of a password
            raise InputError("the journal's URL is malformed", hint=_FORM_HINT) from None
        if has_password or _SECRETS & {name.lower() for name, _ in query}:
            raise InputError(
                "a password cannot stand in a journal's URL, where others can see it",
                hint="keep it in ~/.pgpass, or add ?password-source=file:PATH; and change it, "
                "for it may have been seen",
            )
        options = dict(query)
        source = options.pop(SOURCE, None)
        _check_parameters(options)
        database = unquote(parts.path.removeprefix("/"))
        if not database or "/" in database:
            raise InputError("the journal's URL names no database", hint=_FORM_HINT)
        given = {
            "host": unquote(parts.hostname or ""),
            "port": str(port or ""),
            "user": unquote(parts.username or ""),
            "dbname": database,
        }
        return cls(
            parameters={name: text for name, text in given.items() if text} | options,
            password_source=None if source is None else SecretSource.parse(source),
        )

    def __str__(self) -> str:
        host = self.parameters.get("host", "the local socket")
        return f"database {self.parameters['dbname']} on {host}"


def _check_parameters(options: Mapping[str, str]) -> None:
    unknown = sorted(set(options) - PARAMETERS)
    if unknown:
        raise InputError(
            f"the journal's URL has the unknown parameter {unknown[0]!r}",
            hint=f"there are {', '.join(sorted(PARAMETERS | {SOURCE}))}",
        )
