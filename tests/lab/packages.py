"""``python -m lab.packages``: the names of Debian's packages that the servers are unpacked from."""

from __future__ import annotations

from lab.laboratory import SERVERS, module


def main() -> None:
    print(
        *sorted({name for server in map(module, SERVERS) for name in (*server.PACKAGES, *server.LIBRARIES)}), sep="\n"
    )


if __name__ == "__main__":
    main()
