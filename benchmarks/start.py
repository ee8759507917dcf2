"""What it costs to begin: the import, the rules, the command line; processes of their own, in turns."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from typing import Any

from benchmarks.messages import FIXTURES
from benchmarks.table import show

__all__ = ["figures", "print_figures"]

_TIMED = "import time; start = time.perf_counter(); {}; print(time.perf_counter() - start)"
COMMANDS = {
    "bare interpreter": ["-c", "pass"],
    "import bounceclass": ["-c", "import bounceclass"],
    "import email.parser": ["-c", "import email.parser"],
    "bounceclass classify, one message": [
        "-m",
        "bounceclass",
        "classify",
        str(FIXTURES / "postfix" / "user-unknown.eml"),
    ],
    "bounceclass explain 550": ["-m", "bounceclass", "explain", "550"],
}
LOADS = "bounceclass.load_rules()"


def figures(rounds: int) -> dict[str, Any]:
    """Return the milliseconds of each command, and of loading the rules in a process that has imported the library."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    loads = []
    for _ in range(rounds):
        for name, arguments in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
            times[name].append(time.perf_counter() - start)
        timed = [sys.executable, "-c", "import bounceclass; " + _TIMED.format(LOADS)]
        loads.append(float(subprocess.run(timed, check=True, capture_output=True).stdout))
    return {
        **{name: statistics.median(one) * 1e3 for name, one in times.items()},
        LOADS: statistics.median(loads) * 1e3,
    }


def print_figures(found: dict[str, Any]) -> None:
    """Print what ``figures`` returned."""
    bare = found["bare interpreter"]
    rows = [(name, f"{value:.0f}", "" if name == LOADS else f"{value - bare:+.0f}") for name, value in found.items()]
    show("Beginning, in milliseconds", ("", "milliseconds", "over the bare interpreter"), rows)
