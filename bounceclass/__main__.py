"""``python -m bounceclass`` and the ``bounceclass`` command."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGXCPU)


def main() -> None:
    """Run the command line."""
    if sys.argv[1:2] == ["pipe"]:
        _for_a_mail_server()
    else:
        _run()


def _run() -> None:
    from bounceclass.app.cli import cli

    cli(prog_name="bounceclass")


def _for_a_mail_server() -> None:
    """Run ``pipe``: it ends with 0 or 75 (EX_TEMPFAIL), for with anything else a mail server bounces the bounce."""
    for one in SIGNALS:
        signal.signal(one, _leave)
    try:
        _run()
    except SystemExit as ended:
        if ended.code:
            sys.exit(os.EX_TEMPFAIL)
        raise
    except BaseException as error:  # noqa: BLE001 - a broken installation, a full memory
        print(f"Error: {type(error).__name__}: {error}"[:500].encode("unicode_escape").decode(), file=sys.stderr)
        sys.exit(os.EX_TEMPFAIL)


def _leave(number: int, frame: FrameType | None) -> NoReturn:
    del number, frame
    os._exit(os.EX_TEMPFAIL)


if __name__ == "__main__":
    main()
