"""``python -m lab.packages``: the names of Debian's packages that the laboratory unpacks or installs."""

from __future__ import annotations

from lab import cron, hooks, loop
from lab.laboratory import SERVERS, module


def main() -> None:
    unpacked = [(*server.PACKAGES, *server.LIBRARIES) for server in map(module, SERVERS)]
    installed = [*loop.PACKAGES.values(), cron.PACKAGES, hooks.PACKAGES]
    print(*sorted({name for names in unpacked + installed for name in names}), sep="\n")


if __name__ == "__main__":
    main()
