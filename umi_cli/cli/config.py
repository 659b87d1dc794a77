"""`umi config`: which settings hold, and which of the command line, environment or file says so."""

import os
import re
from collections.abc import Sequence
from typing import Any

import click

from umi_cli.cli.base import group
from umi_cli.cli.context import App, pass_app
from umi_cli.cli.params import GLOBAL_OPTIONS, GlobalOption
from umi_cli.cli.settings import (
    ENVIRONMENT,
    FORMS,
    Layer,
    form_of,
    layers_of,
    load_document,
    merge,
    settle_layers,
    take_profiles,
    user_config,
)
from umi_cli.output.render import Table, View, cell, to_plain

EXAMPLES = """\
umi config show --origin
umi config profiles
umi config path
"""
DEFAULT = "default"
_SECRETS = ("key", "passphrase")
_ATTRIBUTES = {"anchor": "anchors", "timeout": "timeout_s"}
"""Where a setting stands in `Settings`, if not under its own name."""
_DERIVED = {"scheme": "follows from key and cert", "no-input": "follows from output"}
"""Why a setting has a value that nobody gave it, if it is not the default one."""
_TOKEN_PIN = re.compile(r"pin-value=[^;&?]*", re.IGNORECASE)


@group(examples=EXAMPLES)
def config() -> None:
    """Show the settings that hold, and where they come from.

    The command line beats the environment (UMI_...), which beats the profile that is chosen, which
    beats the top of the configuration file. Nothing is read from the working directory.
    """


@config.command(examples="umi config show --origin\numi --profile field config show --json")
@click.option("--origin", is_flag=True, help="Say where each of them comes from")
@pass_app
def show(app: App, origin: bool) -> None:
    """Show every setting that holds.

    Of a key or passphrase only the source is shown, such as a path or env:NAME.
    """
    show_settings(app, with_origin=origin)


def show_settings(app: App, *, with_origin: bool) -> None:
    """Give every setting that holds as the result."""
    layers = layers_of(app.given, app.environment, app.start)
    records = settings_records(layers, user_config(app.environment))
    columns = ["setting", "value", *(["origin"] if with_origin else [])]
    records = [{column: record[column] for column in columns} for record in records]
    rows = [[cell(value) or "-" for value in record.values()] for record in records]
    app.emit(records, View(blocks=(Table(columns=tuple(columns), rows=rows),)))


@config.command(examples="umi config path")
@pass_app
def path(app: App) -> None:
    """Say which configuration file is read, whether it is there or not."""
    where = app.config or user_config(app.environment)
    load_document(where, is_required=app.config is not None)
    app.emit({"path": where}, View(blocks=(where,), csv=Table(columns=("path",), rows=[[where]])))


@config.command(examples="umi config profiles\numi config profiles --config ./site.toml --json")
@pass_app
def profiles(app: App) -> None:
    """List the profiles of the configuration file."""
    where = app.config or user_config(app.environment)
    tables, default = take_profiles(load_document(where, is_required=app.config is not None), where)
    records = [
        {"profile": name, "default": name == default, "port": table.get("port")}
        for name, table in tables.items()
    ]
    if not records:
        app.note(f"{where} has no profile")
    rows = ([cell(value) for value in record.values()] for record in records)
    table = Table(columns=("profile", "default", "port"), rows=rows)
    app.emit(records, View(blocks=(table,) if records else (), csv=table))


def settings_records(layers: Sequence[Layer], user_file: str) -> list[dict[str, Any]]:
    """Return each setting with its value and its origin, in the order of `umi --help`.

    Args:
        layers: where they stand, the strongest first.
        user_file: the configuration file that is read unless another one is named.

    Raises:
        InputError: as `settle_layers` does.
    """
    settings, (form, decider) = settle_layers(layers), form_of(layers)
    named = {"config": user_file, **merge(layers)}
    records = []
    for option in GLOBAL_OPTIONS:
        if option.key in FORMS:
            continue
        attribute = _ATTRIBUTES.get(option.key, option.key.replace("-", "_"))
        value = getattr(settings, attribute, named.get(option.key))
        shown = shown_source(value) if value and option.key in _SECRETS else _plain(value)
        layer = next((layer for layer in layers if option.key in layer.values), None)
        origin = _DERIVED.get(option.key) if value and not layer else _origin(layer, option)
        records.append({"setting": option.key, "value": shown, "origin": origin or DEFAULT})
    deciding = next(each for each in GLOBAL_OPTIONS if each.key == _form_key(form))
    return [*records, {"setting": "output", "value": form, "origin": _origin(decider, deciding)}]


def _form_key(form: str) -> str:
    return form if form in FORMS else "output"


def _plain(value: Any) -> Any:
    """Return a value as JSON has it; a role by its name."""
    from umi_cli.types import Role

    return value.label if isinstance(value, Role) else to_plain(value)


def _origin(layer: Layer | None, option: GlobalOption) -> str:
    if layer is None:
        return DEFAULT
    return option.variable if layer.name == ENVIRONMENT else layer.name


def shown_source(text: str) -> str:
    """Return where a secret is, as it may be shown: what might be the secret itself is left out."""
    from umi_cli.errors import KeyUnusableError
    from umi_cli.security.sources import SecretSource, SourceKind
    from umi_cli.security.token_uri import SCHEME

    if text.startswith(SCHEME):
        return _TOKEN_PIN.sub("pin-value=(not shown)", text)
    try:
        source = SecretSource.parse(text)
    except KeyUnusableError:
        return "(not shown: it is no source of a secret)"
    if source.kind is SourceKind.FILE and not source.is_explicit and not _is_there(text):
        return "(not shown: it names no file that exists)"
    return text


def _is_there(path: str) -> bool:
    return os.path.exists(os.path.expanduser(path))
