"""The configuration file: what it may say, what overrides it, and that no secret gets out of it."""

from __future__ import annotations

import re
import shlex
import traceback
from pathlib import Path
from typing import Any

import pytest

from bounceclass.app import config, mailboxes
from bounceclass.app.config import ConfigError, ledger_secrets, load
from bounceclass.app.exports import Format, List

SECRET = "correct-horse"
IMAP = """\
[source.main]
type = "imap"
host = "imap.example.com"
user = "bounces"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.touch(0o600)
    return path


def loaded(file: Path, text: str, **environment: str) -> config.Config:
    file.write_text(text)
    return load(file, environment)


def problem(file: Path, text: str, **environment: str) -> str:
    """Return the line that refuses *text*, without the path before it."""
    with pytest.raises(ConfigError) as found:
        loaded(file, text, **environment)
    said = str(found.value)
    assert SECRET not in "".join(traceback.format_exception(found.value))
    assert "\n" not in said
    return said.removeprefix(f"{file}: ")


def test_without_a_file_everything_has_a_default() -> None:
    found = load(None, {})
    assert (found.policy, found.lang, found.source, found.export, found.run.batch) == ("cautious", "en", {}, {}, 500)
    assert found.ledger_url.endswith("/bounceclass/ledger.db")
    assert ledger_secrets(found) == (found.ledger_url, None)


def test_a_whole_file(file: Path) -> None:
    found = loaded(
        file,
        """
        lang = "it"
        policy = "strict"
        rules = ["/etc/bounceclass/rules"]
        [ledger]
        url = "/var/lib/bounceclass/ledger.db"
        keep_raw = true
        [run]
        batch = 100
        metrics = "/run/bounceclass.prom"
        [source.list]
        type = "maildir"
        path = "/var/mail/bounces"
        after = "leave"
        [export.postfix]
        format = "postfix"
        path = "/etc/postfix/suppressed"
        then = "postmap /etc/postfix/suppressed"
        [export.complaints]
        format = "csv"
        path = "complaints.csv"
        list = "complaints"
        """,
    )
    assert (found.lang, found.policy, found.rules) == ("it", "strict", ("/etc/bounceclass/rules",))
    assert (found.ledger_url, found.ledger.keep_raw) == ("/var/lib/bounceclass/ledger.db", True)
    assert found.source == {"list": mailboxes.Maildir(path="/var/mail/bounces", after="leave")}
    assert (found.export["postfix"].format, found.export["postfix"].list) == (Format.POSTFIX, List.SUPPRESSED)
    assert found.export["complaints"].list is List.COMPLAINTS


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("polcy = 'strict'", "there is no key 'polcy'; did you mean 'policy'?"),
        ("[ledger]\nulr = 'x'", "[ledger]: there is no key 'ulr'; did you mean 'url'?"),
        ("ledger = 'x'", "ledger is a table: write [ledger] above its keys"),
        ("[run]\nbatch = 'many'", "run.batch: Expected `int`, got `str`"),
        ("[run]\nbatch = 0", "run.batch: Expected `int` >= 1"),
        ("[ledger]\nwait = -1", "ledger.wait: Expected `float` >= 0.0"),
        ("[ledger]\nwait = nan", "ledger.wait: Expected `float` >= 0.0"),
        ("[ledger]\nwait = inf", "ledger.wait: Expected `float` <= 604800.0"),
        ("[run]\npoll = inf", "run.poll: Expected `float` <= 604800.0"),
        ("[source.main]\ntype = 'mbox'\npath = 'x'\ntimeout = inf", "[source.main]: timeout: Expected `float` <= 604800.0"),
        ("[source.x]\ntype = 'maildir'\npath = 'x'\nafter = 'keep'", "[source.x]: after: Invalid enum value 'keep'; there are delete, leave, move"),
        ("[source.x]\ntype = 'maildir'\npath = '/x/y'\n[source.y]\ntype = 'maildir'\npath = '/x/z/../y/'", "[source.y]: file:/x/y is that of x already"),
        ("[export.a]\nformat = 'list'\npath = '/x/y'\n[export.b]\nformat = 'csv'\npath = '/x/./y'", "[export.b]: /x/y is that of a already"),
        ("[privacy]\nhash_key_command = 'x'\n[export.a]\nformat = 'list'\npath = 'y'", "[export.a]: the hashes of [privacy] cannot be exported: leave out one of the two"),
        ("lang = 'de'", "lang: Invalid enum value 'de'; there are en, it"),
        ("[source]\nmain = 1", "[source.main]: main is a table: write [main] above its keys"),
        ("[source.main]\nhost = 'x'", "[source.main]: lacks its type: one of maildir, mbox, directory, imap, pop3"),
        ("[source.main]\ntype = 'imaps'", "[source.main]: there is no type 'imaps'; did you mean 'imap'?"),
        (IMAP + "pasword = 'x'", "[source.main]: there is no key 'pasword'; did you mean 'password'?"),
        (IMAP, "[source.main]: neither a password nor a token: set one, or the command that prints it"),
        (IMAP + f"password = '{SECRET}'\npassword_command = 'pass'", "[source.main]: has password and password_command: one is enough"),
        (IMAP + f"password = '{SECRET}'\nport = 70000", "[source.main]: port: Expected `int` <= 65535"),
        ("[export.x]\nformat = 'postfx'\npath = 'x'", "[export.x]: format: Invalid enum value 'postfx'; did you mean 'postfix'?"),
        ("[export.x]\nformat = 'list'\npath = 'x'\nthen = \"x 'y\"", "[export.x]: then: No closing quotation: write it as in a shell"),
        ("[export.x]\nformat = 'list'\npath = 'x'\nthen = ' '", "[export.x]: then: names no command"),
        ("[export.x]\nfile = 'x'", "[export.x]: there is no key 'file'; there are format, path, list, then"),
        ("source = 'x'", "source is a table: write [source] above its keys"),
        ("[source.main]\ntype = ['maildir']", "[source.main]: there is no type ['maildir']; did you mean 'maildir'?"),
        ("rules = 'x'", "rules: Expected `array`, got `str`"),
        ("policy = 3", "policy: Expected `str`, got `int`"),
        ("policy = '~nobody-at-all/p.toml'", "~nobody-at-all/p.toml: there is no such home directory"),
        (IMAP + "password = 1e10", "[source.main]: password is text: put it in quotes"),
        (IMAP + "password_file = ['x']", "[source.main]: password_file is text: put it in quotes"),
        (IMAP + "password_command = \"echo '\"", "[source.main]: password_command: No closing quotation: write it as in a shell"),
        (IMAP + "password = ''", "[source.main]: password is empty"),
        ("[privacy]\nhash_key = ''", "[privacy]: hash_key is empty"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(file: Path, text: str, expected: str) -> None:
    assert problem(file, text) == expected


def test_a_file_that_is_no_toml_or_not_there(file: Path) -> None:
    assert "line 1" in problem(file, "a b")
    file.unlink()
    with pytest.raises(ConfigError, match=r"config\.toml: No such file or directory"):
        load(file, {})


# --- secrets ----------------------------------------------------------------------


def password(found: config.Config) -> str:
    source = found.source["main"]
    assert isinstance(source, mailboxes.Imap)
    assert source.password is not None
    return source.password()


def secret_in(tmp_path: Path, mode: int = 0o600, text: str = f"{SECRET}\nsecond line\n") -> Path:
    path = tmp_path / "secret"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_a_secret_may_stand_in_a_file_of_its_own_or_come_from_a_command(file: Path, tmp_path: Path) -> None:
    held = secret_in(tmp_path)
    assert password(loaded(file, IMAP + f"password = '{SECRET}'")) == SECRET
    assert password(loaded(file, IMAP + f"password_file = '{held}'")) == SECRET
    assert password(loaded(file, IMAP + f"password_command = 'cat {held}'")) == SECRET


def test_a_secret_file_by_systemd(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret_in(tmp_path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert password(loaded(file, IMAP + "password_file = '$CREDENTIALS_DIRECTORY/secret'")) == SECRET


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("password_file = '{open}'", "{open}: holds a secret and everyone may read it: chmod o= {open}"),
        ("password_file = '/nowhere/secret'", "[source.main]: password_file: /nowhere/secret: No such file or directory"),
        ("password_file = '{empty}'", "[source.main]: password_file: gave an empty secret"),
        ("password_command = 'false'", "[source.main]: password_command: ended with 1; run it by hand to see why"),
        ("password_command = '/nowhere/pass show'", "[source.main]: password_command: cannot be run: No such file or directory"),
        ("password_command = \"sh -c 'echo {secret} >&2; exit 3'\"", "[source.main]: password_command: ended with 3; run it by hand to see why"),
    ],
)  # fmt: skip
def test_a_secret_that_cannot_be_had(file: Path, tmp_path: Path, key: str, expected: str) -> None:
    (tmp_path / "e").mkdir()
    names: dict[str, Any] = {"open": secret_in(tmp_path, 0o644), "empty": secret_in(tmp_path / "e", text="\n")}
    found = loaded(file, IMAP + key.format(**names, secret=SECRET))
    with pytest.raises(ConfigError) as error:
        password(found)
    assert str(error.value).removeprefix(f"{file}: ") == expected.format(**names)
    assert SECRET not in "".join(traceback.format_exception(error.value))


def test_a_command_that_hangs(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "PATIENCE", 0.1)
    found = loaded(file, IMAP + "password_command = 'sleep 5'")
    with pytest.raises(ConfigError, match="took longer than"):
        password(found)


@pytest.mark.parametrize("text", [IMAP + f"password = '{SECRET}'", f"[privacy]\nhash_key = '{SECRET}'"])
def test_a_file_with_a_secret_is_for_its_owner_alone(file: Path, text: str) -> None:
    file.chmod(0o644)
    assert problem(file, text) == f"holds a secret and everyone may read it: chmod o= {file}"


@pytest.mark.parametrize(
    ("url", "refused"),
    [
        (f"postgresql://mail:{SECRET}@db.example.com/bounces", True),
        (f"postgresql://mail@db.example.com/bounces?password={SECRET}", True),
        (f"postgresql://mail@db.example.com/bounces?sslpassword={SECRET}", True),
        ("postgresql://mail@db.example.com/bounces", False),
        ("postgresql://db.example.com/bounces?sslmode=require", False),
        ("postgresql://db.example.com:port/bounces", False),
        ("/srv/user:word@ledger.db", False),
    ],
)
def test_a_password_in_the_url_is_a_secret_of_the_file(file: Path, url: str, refused: bool) -> None:
    file.chmod(0o644)
    text = f"[ledger]\nurl = '{url}'"
    if refused:
        assert problem(file, text) == f"holds a secret and everyone may read it: chmod o= {file}"
    else:
        assert loaded(file, text).ledger_url == url


@pytest.mark.parametrize(
    ("text", "variable"),
    [
        (IMAP, "SOURCE_MAIN_PASSWORD"),
        ("", "PRIVACY_HASH_KEY"),
        ("", "LEDGER_PASSWORD"),
    ],
)
def test_a_secret_of_the_environment_is_none_of_the_file(file: Path, text: str, variable: str) -> None:
    file.chmod(0o644)
    assert SECRET not in repr(loaded(file, text, **{f"BOUNCECLASS_{variable}": SECRET}))


def test_no_secret_is_shown(file: Path) -> None:
    found = loaded(file, IMAP + f"password = '{SECRET}'\n[privacy]\nhash_key = '{SECRET}'\n")
    assert SECRET not in repr(found.source)
    assert SECRET not in repr(found)
    assert ledger_secrets(found)[1] == SECRET.encode()


def test_the_password_of_postgresql(file: Path, tmp_path: Path) -> None:
    text = "[ledger]\nurl = 'postgresql://mail@db.example.com/bounces'\n"
    found = loaded(file, text + f"password_file = '{secret_in(tmp_path)}'")
    assert ledger_secrets(found)[0] == f"postgresql://mail:{SECRET}@db.example.com/bounces"
    assert found.ledger_url == "postgresql://mail@db.example.com/bounces"
    for url in ("/x", "postgresql://db.example.com:port/x"):
        with pytest.raises(ConfigError, match="a password needs postgresql://"):
            ledger_secrets(loaded(file, f"[ledger]\nurl = '{url}'\npassword = '{SECRET}'"))


# --- the environment ----------------------------------------------------------------


def test_the_environment_overrides_the_file(file: Path, tmp_path: Path) -> None:
    found = loaded(
        file,
        IMAP + "[run]\nbatch = 7\n",
        BOUNCECLASS_LEDGER_URL="/srv/ledger.db",
        BOUNCECLASS_POLICY="strict",
        BOUNCECLASS_RUN_BATCH="50",
        BOUNCECLASS_RULES='["/a", "/b"]',
        BOUNCECLASS_SOURCE_MAIN_PASSWORD_FILE=str(secret_in(tmp_path)),
        BOUNCECLASS_SOURCE_MAIN_HOST="mail.example.net",
        BOUNCECLASS_CONFIG="/elsewhere",
        OTHER="x",
    )
    assert (found.ledger_url, found.policy, found.run.batch, found.rules) == (
        "/srv/ledger.db",
        "strict",
        50,
        ("/a", "/b"),
    )
    source = found.source["main"]
    assert isinstance(source, mailboxes.Imap)
    assert (source.host, password(found)) == ("mail.example.net", SECRET)


@pytest.mark.parametrize("named", ["password = 'wrong'", "password_file = '/nowhere'", "password_command = 'false'"])
@pytest.mark.parametrize("way", ["PASSWORD", "PASSWORD_FILE", "PASSWORD_COMMAND"])
def test_a_secret_of_the_environment_replaces_the_files_in_whatever_way(
    file: Path, tmp_path: Path, named: str, way: str
) -> None:
    held = secret_in(tmp_path)
    value = {"PASSWORD": SECRET, "PASSWORD_FILE": str(held), "PASSWORD_COMMAND": f"cat {held}"}[way]
    assert password(loaded(file, IMAP + named, **{f"BOUNCECLASS_SOURCE_MAIN_{way}": value})) == SECRET
    found = loaded(file, "[privacy]\n" + named.replace("password", "hash_key"), BOUNCECLASS_PRIVACY_HASH_KEY=SECRET)
    assert ledger_secrets(found)[1] == SECRET.encode()


def test_a_secret_is_named_in_one_way_in_the_environment(file: Path) -> None:
    said = problem(file, IMAP, BOUNCECLASS_SOURCE_MAIN_PASSWORD=SECRET, BOUNCECLASS_SOURCE_MAIN_PASSWORD_FILE="/x")
    assert said == "[source.main]: has password and password_file: one is enough"


def test_an_environment_variable_that_means_nothing_is_refused(file: Path) -> None:
    assert "did you mean 'BOUNCECLASS_LEDGER_URL'?" in problem(file, "", BOUNCECLASS_LEDGR_URL="x")


@pytest.mark.parametrize(
    ("text", "variable", "expected"),
    [
        ("ledger = 'x.db'", "LEDGER_URL", "ledger is a table: write [ledger] above its keys"),
        ("source = 'x'", "RUN_BATCH", "source is a table: write [source] above its keys"),
        ("[source]\nmain = 'x'", "SOURCE_MAIN_HOST", "[source.main]: main is a table: write [main] above its keys"),
        ("polcy = 'x'", "POLICY", "there is no key 'polcy'; did you mean 'policy'?"),
    ],
)
def test_the_file_is_understood_before_it_is_overridden(file: Path, text: str, variable: str, expected: str) -> None:
    assert problem(file, text, **{f"BOUNCECLASS_{variable}": "9"}) == expected


@pytest.mark.parametrize("text", ["1e10", "1_000", "0x1F", '"q"', "'q'", "true", "2024-01-01", "[1]", " x ", "a = b"])
def test_text_of_the_environment_is_the_text_it_is(file: Path, tmp_path: Path, text: str) -> None:
    for way, value in (("PASSWORD", text), ("PASSWORD_COMMAND", f"printf %s {shlex.quote(text)}")):
        found = loaded(
            file,
            IMAP,
            **{f"BOUNCECLASS_SOURCE_MAIN_{way}": value},
            BOUNCECLASS_SOURCE_MAIN_FOLDER=text,
            BOUNCECLASS_PRIVACY_HASH_KEY=text,
            BOUNCECLASS_LEDGER_URL=f"/{text}",
        )
        source = found.source["main"]
        assert isinstance(source, mailboxes.Imap)
        assert (password(found), source.folder) == (text, text)
        assert ledger_secrets(found) == (f"/{text}", text.encode())


@pytest.mark.parametrize(
    ("steps", "text", "expected"),
    [
        (("ledger", "keep_raw"), "true", True),
        (("ledger", "wait"), "5", 5.0),
        (("ledger", "wait"), "0.5", 0.5),
        (("run", "batch"), "1_000", 1000),
        (("source", "main", "port"), "1143", 1143),
        (("source", "main", "folders"), '{ Processed = "Done" }', {mailboxes.Kind.PROCESSED: "Done"}),
        (("source", "main", "after"), "leave", "leave"),
        (("lang",), "it", "it"),
        (("rules",), '["/a"]', ("/a",)),
    ],
)
def test_what_is_no_text_is_a_value_of_toml(file: Path, steps: tuple[str, ...], text: str, expected: object) -> None:
    variable = "_".join(("BOUNCECLASS", *steps)).upper()
    found: Any = loaded(file, IMAP + f"password = '{SECRET}'", **{variable: text})
    for step in steps:
        found = found[step] if isinstance(found, dict) else getattr(found, step)
    assert found == expected


# --- paths --------------------------------------------------------------------------

PATHS = """\
policy = "{0}p.toml"
rules = ["{0}rules"]
[ledger]
url = "{0}l.db"
password_file = "{0}pw"
[run]
locks = "{0}locks"
metrics = "{0}m.prom"
[source.main]
type = "imap"
host = "x/y"
user = "~"
folder = "lists/bounces"
password_file = "{0}secret"
ca_file = "{0}ca"
[source.box]
type = "mbox"
path = "{0}box"
into = "{0}boxes"
[source.pop]
type = "pop3"
host = "x"
user = "x"
password = "{0}p"
keep = "{0}kept"
[export.x]
format = "list"
path = "{0}list"
then = "{0}then"
"""


@pytest.mark.parametrize(
    ("given", "expected"),
    [("", "{folder}/"), ("sub/", "{folder}/sub/"), ("~/", "{home}/"), ("/srv/", "/srv/")],
)
def test_a_path_is_seen_from_the_file_that_it_stands_in(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, expected: str
) -> None:
    monkeypatch.setenv("HOME", "/home/mary")
    monkeypatch.chdir("/")
    there = expected.format(folder=tmp_path, home="/home/mary")
    found: Any = loaded(file, PATHS.format(given))
    main, box, pop = (found.source[name] for name in ("main", "box", "pop"))
    assert (found.policy, found.rules) == (f"{there}p.toml", (f"{there}rules",))
    assert (found.ledger_url, str(found.lock_folder), found.run.metrics) == (f"{there}l.db", f"{there}locks", f"{there}m.prom")  # fmt: skip
    assert (main.host, main.user, main.folder, main.ca_file) == ("x/y", "~", "lists/bounces", f"{there}ca")
    assert (box.path, box.into, pop.keep, pop.password()) == (f"{there}box", f"{there}boxes", f"{there}kept", f"{given}p")  # fmt: skip
    assert (found.export["x"].path, found.export["x"].then) == (f"{there}list", f"{given}then")
    with pytest.raises(ConfigError, match=re.escape(f"[source.main]: password_file: {there}secret: No such file")):
        main.password()


def test_a_secret_beside_the_file(file: Path, tmp_path: Path) -> None:
    secret_in(tmp_path)
    assert password(loaded(file, IMAP + "password_file = 'secret'")) == SECRET


@pytest.mark.parametrize(
    ("given", "expected"), [("strict", "strict"), ("mine.toml", "mine.toml"), ("~/mine.toml", "/home/mary/mine.toml")]
)
def test_a_path_of_the_environment_is_seen_from_the_working_directory(
    file: Path, monkeypatch: pytest.MonkeyPatch, given: str, expected: str
) -> None:
    monkeypatch.setenv("HOME", "/home/mary")
    found = loaded(file, "policy = 'x'", BOUNCECLASS_POLICY=given, BOUNCECLASS_RULES='["~/rules", "rules"]')
    assert (found.policy, found.rules) == (expected, ("/home/mary/rules", "rules"))
    assert config.find({"BOUNCECLASS_CONFIG": "~/c.toml"}) == Path("/home/mary/c.toml")


def test_where_the_file_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert config.find({}) in (None, Path("/etc/bounceclass/config.toml"))
    (tmp_path / "bounceclass").mkdir()
    (tmp_path / "bounceclass" / "config.toml").touch()
    assert config.find({}) == tmp_path / "bounceclass" / "config.toml"
    assert config.find({"BOUNCECLASS_CONFIG": "/x/y.toml"}) == Path("/x/y.toml")
