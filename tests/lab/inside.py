"""``python -m lab.inside MTA UNPACKED FOLDER``: run a server where nothing of the machine is in reach."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from lab import servers
from lab.scenarios import SCENARIOS
from lab.world import World


def main(name: str, unpacked: Path, folder: Path) -> None:
    """Send a message for each scenario, and write the bounces to ``bounces`` in *folder*."""
    servers.isolate(folder)
    state = folder / "state"
    state.mkdir()
    world = World(SCENARIOS)
    server = importlib.import_module(f"lab.{name}")
    bounces = server.send(unpacked, state, world, [servers.message(one) for one in SCENARIOS])
    world.close()
    (folder / "bounces").mkdir()
    for number, bounce in enumerate(bounces):
        (folder / "bounces" / f"{number:03}.eml").write_bytes(bounce)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
