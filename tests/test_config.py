"""The configuration file: what it may say, what overrides it, and that no secret gets out of it."""

from __future__ import annotations

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
        ("lang = 'de'", "lang: Invalid enum value 'de'"),
        ("[source]\nmain = 1", "[source.main]: main is a table: write [main] above its keys"),
        ("[source.main]\nhost = 'x'", "[source.main]: lacks its type: one of maildir, mbox, directory, imap, pop3"),
        ("[source.main]\ntype = 'imaps'", "[source.main]: there is no type 'imaps'; did you mean 'imap'?"),
        (IMAP + "pasword = 'x'", "[source.main]: there is no key 'pasword'; did you mean 'password'?"),
        (IMAP, "[source.main]: neither a password nor a token: set one, or the command that prints it"),
        (IMAP + f"password = '{SECRET}'\npassword_command = 'pass'", "[source.main]: has password and password_command: one is enough"),
        (IMAP + f"password = '{SECRET}'\nport = 70000", "[source.main]: port: Expected `int` <= 65535"),
        ("[export.x]\nformat = 'postfx'\npath = 'x'", "export[...].format: Invalid enum value 'postfx'"),
        ("[export.x]\nfile = 'x'", "[export.x]: there is no key 'file'; there are format, path, list, then"),
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
        ("password_command = \"echo '\"", "[source.main]: password_command: cannot be run: No closing quotation"),
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
    with pytest.raises(ConfigError, match="a password needs postgresql://"):
        ledger_secrets(loaded(file, f"[ledger]\nurl = '/x'\npassword = '{SECRET}'"))


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


def test_an_environment_variable_that_means_nothing_is_refused(file: Path) -> None:
    assert "did you mean 'BOUNCECLASS_LEDGER_URL'?" in problem(file, "", BOUNCECLASS_LEDGR_URL="x")


def test_where_the_file_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert config.find({}) in (None, Path("/etc/bounceclass/config.toml"))
    (tmp_path / "bounceclass").mkdir()
    (tmp_path / "bounceclass" / "config.toml").touch()
    assert config.find({}) == tmp_path / "bounceclass" / "config.toml"
    assert config.find({"BOUNCECLASS_CONFIG": "/x/y.toml"}) == Path("/x/y.toml")
