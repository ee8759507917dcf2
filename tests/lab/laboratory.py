"""The servers, and how each is made to write its notices."""

from __future__ import annotations

import importlib
import tempfile
from pathlib import Path
from typing import Any

from lab import servers
from lab.expected import Notice, notices

__all__ = ["GENERATED", "SERVERS", "module", "written"]

SERVERS = ("chasquid", "courier", "dma", "exim", "nullmailer", "opensmtpd", "postfix", "sendmail")
GENERATED = servers.ROOT / "fixtures" / "generated"


def module(name: str) -> Any:
    """Return the module of a server, which has what docs/laboratory.md says."""
    return importlib.import_module(f"lab.{name}")


def written(name: str) -> list[Notice]:
    """Return what the server *name* writes of every scenario, in a run of its own."""
    server = module(name)
    with tempfile.TemporaryDirectory(prefix="lab-") as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)
        root = servers.unpack(server.PACKAGES, server.LIBRARIES, folder / "packages")
        servers.enter([name, str(root), str(folder)])
        bounces = [path.read_bytes() for path in sorted((folder / "bounces").iterdir())]
    return notices(name, server.TOLD, bounces, warns=server.WARNS)
