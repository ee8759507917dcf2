"""The configuration: one TOML file, overridden key by key by the environment.

``Config`` has every key, with its default and what it means; docs/configuration.md shows
them to people.  Nothing is opened here but the file itself and, when a secret is needed,
the file or the command that holds it.
"""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import msgspec
import platformdirs
import tomli
from msgspec import Meta, Struct, field

from bounceclass.app import mailboxes
from bounceclass.app.exports import Format, List
from bounceclass.app.mailboxes import Secret
from bounceclass.app.mailboxes.settings import LONGEST
from bounceclass.app.policyfile import SHIPPED
from bounceclass.misfit import misfit, nearest, unknown_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from sqlalchemy import URL

__all__ = ["Config", "ConfigError", "Export", "find", "ledger_secrets", "load", "server_url"]

PREFIX = "BOUNCECLASS_"
"""How the names of environment variables begin: ``BOUNCECLASS_LEDGER_URL`` sets ``url`` of ``[ledger]``."""
ITSELF = PREFIX + "CONFIG"
"""The environment variable that names the configuration file."""
PATIENCE = 60
"""Seconds that a command may take to print a secret."""
MAX_SECRET = 64 * 1024
"""Bytes of a secret."""


class ConfigError(ValueError):
    """The configuration cannot be used; the message is one line that says what to change, and tells no secret."""


class _Table(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of the file: nothing it does not know is accepted."""


class LedgerTable(_Table, frozen=True, kw_only=True):
    """``[ledger]``: where the consequences are kept."""

    url: str = ""
    """A path, for SQLite, or ``postgresql://user@host/name``; unless given, a file in the user's data directory."""
    password: Secret | None = None
    """Of PostgreSQL, where it is not in ``~/.pgpass``."""
    keep_raw: bool = False
    """Keep the messages themselves too."""
    wait: Annotated[float, Meta(ge=0, le=LONGEST)] = 30.0
    """Seconds to wait for a database that is busy or away."""


class PrivacyTable(_Table, frozen=True, kw_only=True):
    """``[privacy]``: addresses are kept as keyed hashes where a key is given."""

    hash_key: Secret | None = None
    """At least 16 random bytes; a ledger begun with one opens with that one only."""


class RunTable(_Table, frozen=True, kw_only=True):
    """``[run]``: how ``process`` works."""

    batch: Annotated[int, Meta(ge=1, le=10_000)] = 500
    """Messages whose verdicts are committed together."""
    locks: str = ""
    """The directory of the locks; unless given, one in the user's state directory."""
    metrics: str | None = None
    """A Prometheus textfile, written after each run; with ``--watch`` when there is news, and every ten minutes."""
    poll: Annotated[float, Meta(ge=1, le=LONGEST)] = 60.0
    """Seconds between two looks at a source that cannot tell of new mail, with ``--watch``."""


class Export(_Table, frozen=True, kw_only=True):
    """``[export.<name>]``: a file that is written after each run, where what stands in it has changed."""

    format: Format
    path: str
    list: List = List.SUPPRESSED
    then: str | None = None
    """A command that is run when the file has changed, as in ``postmap /etc/postfix/suppressed``.

    It is run again after the next run until it has ended with 0.
    """

    def __post_init__(self) -> None:
        if self.then:
            _words("then", self.then)


class Config(_Table, frozen=True, kw_only=True):
    """The whole file."""

    lang: Literal["en", "it"] = "en"
    """Of the suggestions."""
    rules: tuple[str, ...] = ()
    """Folders of rules of your own (docs/rules.md)."""
    policy: str = "cautious"
    """A shipped policy (``cautious``, ``standard``, ``strict``) or the path of one of your own (docs/policy.md)."""
    ledger: LedgerTable = field(default_factory=LedgerTable)
    privacy: PrivacyTable = field(default_factory=PrivacyTable)
    run: RunTable = field(default_factory=RunTable)
    source: dict[str, mailboxes.Settings] = {}
    """``[source.<name>]``: the mailboxes that ``process`` works through (docs/configuration.md)."""
    export: dict[str, Export] = {}

    @property
    def ledger_url(self) -> str:
        """The ledger's path or URL, never with a password in it that was not written there."""
        return self.ledger.url or str(platformdirs.user_data_path("bounceclass") / "ledger.db")

    @property
    def lock_folder(self) -> Path:
        """The directory of the locks."""
        return Path(self.run.locks) if self.run.locks else platformdirs.user_state_path("bounceclass")


TABLES: dict[str, type[_Table]] = {"ledger": LedgerTable, "privacy": PrivacyTable, "run": RunTable}
"""The tables that stand once in a file."""
WAYS = ("_file", "_command")
"""What a key that holds a secret may end with: then it names the file or the command that the secret is in."""
TOP = ("lang", "rules", "policy")
"""The keys that stand in no table."""
PATHS = ("path", "into", "keep", "locks", "metrics", "url", "policy", "rules")
"""The keys of all tables that name a file or a folder; so does every key that ends with ``_file``."""


# --- the file ---------------------------------------------------------------------


def find(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the configuration file to use where none is named: the environment's, the user's, the machine's."""
    if named := environment.get(ITSELF):
        return _at_home(named)
    places = (platformdirs.user_config_path("bounceclass"), Path("/etc/bounceclass"))
    return next((file for place in places if (file := place / "config.toml").is_file()), None)


def load(path: Path | None, environment: Mapping[str, str] = os.environ) -> Config:
    """Return the configuration of *path*, or the defaults where it is None, with what *environment* overrides.

    Raises ConfigError.
    """
    table: dict[str, Any] = {}
    where = "the environment"
    if path is not None:
        where = str(path)
        table = _read(path)
        _know(table, where)
        if _has_secret(table):
            _refuse_world_readable(path)
        table = _resolved(table, path.parent)
    _override(table, environment)
    return _converted(table, where)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomli.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: is not written in UTF-8") from None
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None


def _converted(table: dict[str, Any], where: str) -> Config:
    sources, exports = {}, {}
    for name, one in table.pop("source", {}).items():
        kind = mailboxes.TYPES[one["type"]]
        with _told(f"{where}: [source.{name}]", kind) as place:
            sources[name] = mailboxes.settings(_with_secrets(one, kind, place))
    for name, one in table.pop("export", {}).items():
        with _told(f"{where}: [export.{name}]", Export):
            exports[name] = msgspec.convert(one, Export)
    for name, part in TABLES.items():
        if name in table:
            table[name] = _with_secrets(table[name], part, f"{where}: [{name}]")
    with _told(where, Config):
        config: Config = msgspec.convert(table, Config, dec_hook=lambda _, value: value)
    config = msgspec.structs.replace(config, source=sources, export=exports)
    _refuse_conflicts(config, where)
    return config


def _refuse_conflicts(config: Config, where: str) -> None:
    """Refuse what would undo each other's work."""
    _refuse_twice({name: mailboxes.lock_name(one) for name, one in config.source.items()}, f"{where}: [source.%s]")
    _refuse_twice({name: os.path.realpath(one.path) for name, one in config.export.items()}, f"{where}: [export.%s]")
    if config.export and config.privacy.hash_key:
        name = next(iter(config.export))
        raise ConfigError(
            f"{where}: [export.{name}]: the hashes of [privacy] cannot be exported: leave out one of the two"
        )


def _refuse_twice(places: dict[str, str], table: str) -> None:
    owner: dict[str, str] = {}
    for name, place in places.items():
        if place in owner:
            raise ConfigError(f"{table % name}: {place} is that of {owner[place]} already")
        owner[place] = name


@contextmanager
def _told(where: str, kind: type[Struct]) -> Iterator[str]:
    """Tell what is wrong with the table at *where*, which should be *kind*, in a ConfigError."""
    try:
        yield where
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {misfit(error, kind)}") from None


def _words(name: str, command: str) -> list[str]:
    """Return what the command of the key *name* is made of; raises ValueError."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ValueError(f"{name}: {error}: write it as in a shell") from None
    if not words:
        raise ValueError(f"{name}: names no command")
    return words


# --- unknown keys -----------------------------------------------------------------


def _know(table: dict[str, Any], where: str) -> None:
    """Refuse keys that do not exist, with the nearest one that does."""
    _refuse_unknown(table, _names(Config), where)
    for name, kind in TABLES.items():
        _refuse_unknown(_inner(table, name, where), _names(kind), f"{where}: [{name}]")
    exports = _inner(table, "export", where)
    for name in exports:
        place = f"{where}: [export.{name}]"
        _refuse_unknown(_inner(exports, name, place), _names(Export), place)
    sources = _inner(table, "source", where)
    for name in sources:
        place = f"{where}: [source.{name}]"
        source = _inner(sources, name, place)
        kind_ = source.get("type")
        if kind_ is None:
            raise ConfigError(f"{place}: lacks its type: one of {', '.join(mailboxes.TYPES)}")
        if not isinstance(kind_, str) or kind_ not in mailboxes.TYPES:
            raise ConfigError(f"{place}: there is no type {kind_!r}{nearest(kind_, mailboxes.TYPES)}")
        _refuse_unknown(source, ["type", *_names(mailboxes.TYPES[kind_])], place)


def _inner(table: dict[str, Any], name: str, where: str) -> dict[str, Any]:
    inner = table.get(name, {})
    if not isinstance(inner, dict):
        raise ConfigError(f"{where}: {name} is a table: write [{name}] above its keys")
    return inner


def _refuse_unknown(table: dict[str, Any], known: Collection[str], where: str) -> None:
    if complaint := unknown_key(table, known):
        raise ConfigError(f"{where}: {complaint}")


def _names(kind: type[Struct]) -> dict[str, Any]:
    """Return every key of a table with its type, those by which it names its secrets included."""
    names = {one.name: one.type for one in msgspec.structs.fields(kind)}
    return names | {way: str for key in _secrets(kind) for way in _ways(key) if way != key}


def _secrets(kind: type[Struct]) -> list[str]:
    """Return the keys of a table that hold a secret."""
    return [one.name for one in msgspec.structs.fields(kind) if Secret in get_args(one.type)]


def _ways(key: str) -> tuple[str, ...]:
    """Return the keys that the secret *key* may be given by."""
    return (key, *(key + way for way in WAYS))


# --- the environment ----------------------------------------------------------------


def _override(table: dict[str, Any], environment: Mapping[str, str]) -> None:
    """Put what the environment says into *table*; a secret of it replaces the file's, in whatever way that is named."""
    tables = _tables(table)
    known = dict(_variables(tables))
    said: dict[tuple[str, ...], dict[str, Any]] = {}
    for name, text in sorted(environment.items()):
        if not name.startswith(PREFIX) or name == ITSELF:
            continue
        if name not in known:
            raise ConfigError(f"the environment: there is no {name}{nearest(name, known)}")
        path, key, kind = known[name]
        said.setdefault(path, {})[key] = _resolved(_value(text, kind), Path(), key)
    for path, values in said.items():
        inner = table
        for step in path:
            inner = inner.setdefault(step, {})
        for ways in map(_ways, _secrets(tables[path])):
            if not values.keys().isdisjoint(ways):
                for way in ways:
                    inner.pop(way, None)
        inner.update(values)


def _tables(table: dict[str, Any]) -> dict[tuple[str, ...], type[Struct]]:
    """Return the type of every table that the environment may set keys of."""
    tables: dict[tuple[str, ...], type[Struct]] = {(): Config}
    tables |= {(name,): kind for name, kind in TABLES.items()}
    tables |= {("source", name): mailboxes.TYPES[source["type"]] for name, source in table.get("source", {}).items()}
    return tables


def _variables(tables: dict[tuple[str, ...], type[Struct]]) -> Iterator[tuple[str, tuple[tuple[str, ...], str, Any]]]:
    """Yield every variable that has a meaning, with the table and the key it stands for, and the type of that."""
    for path, kind in tables.items():
        for key, type_ in _names(kind).items():
            if path or key in TOP:
                yield PREFIX + "_".join((*path, key)).upper().replace("-", "_"), (path, key, type_)


def _value(text: str, kind: Any) -> Any:
    """Return *text* itself for a key that takes text, else as a value of TOML where it is one."""
    try:
        msgspec.convert(text, kind, dec_hook=lambda secret, value: secret(value))
    except msgspec.ValidationError:
        try:
            return tomli.loads(f"value = {text}")["value"]
        except ValueError:
            pass
    return text


# --- paths --------------------------------------------------------------------------


def _resolved(value: Any, folder: Path, key: str = "") -> Any:
    """Return *value*, that of *key* or a whole table, with its paths seen from *folder* and ``~`` put in."""
    if isinstance(value, dict):
        return {name: _resolved(one, folder, name) for name, one in value.items()}
    if isinstance(value, list):
        return [_resolved(one, folder, key) for one in value]
    if not isinstance(value, str) or not value or not (key in PATHS or key.endswith("_file")):
        return value
    if (key == "policy" and value in SHIPPED) or (key == "url" and "://" in value):
        return value
    if key.endswith("_file"):
        value = os.path.expandvars(value)
    return str(folder / _at_home(value))


def _at_home(path: str) -> Path:
    """Return *path* with the home directory for its ``~``."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise ConfigError(f"{path}: there is no such home directory") from None


# --- secrets ------------------------------------------------------------------------


def _with_secrets(table: dict[str, Any], kind: type[Struct], where: str) -> dict[str, Any]:
    """Return *table* with each secret under its own key, however the file names it; it is got when it is needed."""
    made = dict(table)
    for key in _secrets(kind):
        given = {name: made.pop(name) for name in _ways(key) if name in made}
        for name, value in given.items():
            if not isinstance(value, str):
                raise ConfigError(f"{where}: {name} is text: put it in quotes")
        ways = [name for name, value in given.items() if value]
        if len(ways) > 1:
            raise ConfigError(f"{where}: has {' and '.join(ways)}: one is enough")
        if given and not ways:
            raise ConfigError(f"{where}: {next(iter(given))} is empty")
        if ways:
            made[key] = Secret(_getter(ways[0], given[ways[0]], where))
    return made


def _getter(name: str, value: str, where: str) -> str | Callable[[], str]:
    if name.endswith("_file"):
        return lambda: _from_file(Path(value), f"{where}: {name}")
    if name.endswith("_command"):
        try:
            words = _words(name, value)
        except ValueError as error:
            raise ConfigError(f"{where}: {error}") from None
        return lambda: _from_command(words, f"{where}: {name}")
    return value


def ledger_secrets(config: Config) -> tuple[str, bytes | None]:
    """Return the ledger's URL with its password in it, and the key that addresses are hashed with, if any.

    Raises ConfigError.
    """
    url, key = config.ledger_url, config.privacy.hash_key
    if password := config.ledger.password:
        url = server_url(config).set(password=password()).render_as_string(hide_password=False)
    return url, key().encode("utf-8", "surrogateescape") if key else None


def server_url(config: Config) -> URL:
    """Return the ledger's URL, which a password can be put into; raises ConfigError where there is none."""
    url = _parsed(config.ledger_url)
    if url is None:
        raise ConfigError("[ledger]: url: a password needs postgresql://user@host/name")
    return url


def _parsed(url: str) -> URL | None:
    """Return the URL of a database; None for a path and for what is no URL."""
    if "://" not in url:
        return None
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url)
    except (ArgumentError, ValueError):
        return None


def _from_file(path: Path, where: str) -> str:
    try:
        _refuse_world_readable(path)
        with path.open("rb") as file:
            return _first_line(file.read(MAX_SECRET), where)
    except OSError as error:
        raise ConfigError(f"{where}: {path}: {error.strerror}") from None


def _from_command(words: list[str], where: str) -> str:
    try:
        done = subprocess.run(words, capture_output=True, timeout=PATIENCE, check=False, stdin=-3)  # noqa: S603 - the owner's own
    except (OSError, ValueError) as error:
        raise ConfigError(f"{where}: cannot be run: {getattr(error, 'strerror', None) or error}") from None
    except subprocess.TimeoutExpired:
        raise ConfigError(f"{where}: took longer than {PATIENCE} seconds") from None
    if done.returncode:
        raise ConfigError(f"{where}: ended with {done.returncode}; run it by hand to see why")
    return _first_line(done.stdout[:MAX_SECRET], where)


def _first_line(content: bytes, where: str) -> str:
    line = content.decode("utf-8", "surrogateescape").partition("\n")[0].rstrip("\r")
    if not line:
        raise ConfigError(f"{where}: gave an empty secret")
    return line


def _has_secret(table: dict[str, Any]) -> bool:
    """Tell whether a secret itself stands in *table*, the password in a ledger's URL too."""
    url = _parsed(str(table.get("ledger", {}).get("url")))
    if url and (url.password or any("password" in name for name in url.query)):
        return True
    tables: list[tuple[Any, type[Struct]]] = [(table.get(name, {}), kind) for name, kind in TABLES.items()]
    tables += [(source, mailboxes.TYPES[source["type"]]) for source in table.get("source", {}).values()]
    return any(one.get(key) for one, kind in tables for key in _secrets(kind))


def _refuse_world_readable(path: Path) -> None:
    if path.stat().st_mode & stat.S_IROTH:
        raise ConfigError(f"{path}: holds a secret and everyone may read it: chmod o= {path}")
