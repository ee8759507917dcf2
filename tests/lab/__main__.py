"""Make ``fixtures/generated`` anew, or that of some servers: ``cd tests && python -m lab [MTA...]``."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

from lab.laboratory import GENERATED, SERVERS, written


def main(names: list[str]) -> None:
    with ThreadPoolExecutor(4) as pool:
        for name, found in zip(names, pool.map(written, names), strict=True):
            folder = GENERATED / name
            folder.mkdir(parents=True, exist_ok=True)
            for old in folder.iterdir():
                old.unlink()
            for notice in found:
                (folder / f"{notice.name}.eml").write_bytes(notice.content)
                (folder / f"{notice.name}.toml").write_text(notice.toml)
            print(f"{name}: {len(found)}")


if __name__ == "__main__":
    main(sys.argv[1:] or list(SERVERS))
