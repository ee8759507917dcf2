"""``python -m lab.inside MTA ROOT FOLDER``: run a server where nothing of the machine is in reach."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from lab import servers
from lab.scenarios import SCENARIOS
from lab.world import World


def main(name: str, root: Path, folder: Path) -> None:
    """Send a message for each scenario that the server can have, and write the bounces to ``bounces`` in *folder*."""
    servers.isolate(root, folder)
    (folder / "state").mkdir()
    server = importlib.import_module(f"lab.{name}")
    scenarios = [one for one in SCENARIOS if one.name not in server.WITHOUT]
    world = World(scenarios)
    server.send(folder / "state", world, [servers.message(one) for one in scenarios])
    (folder / "bounces").mkdir()
    for number, bounce in enumerate(world.received):
        (folder / "bounces" / f"{number:03}.eml").write_bytes(bounce)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
