"""``python -m benchmarks``: what bounceclass costs, in one run beside other ways to read mail."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import click
import msgspec

from benchmarks import hostile, messages, process, rules, scaling, start

PACKAGES = ("bounceclass", "fast-mail-parser", "mail-parser", "flufl.bounce", "msgspec", "ahocorasick-rs")


def _machine() -> dict[str, Any]:
    processor = platform.processor()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text().splitlines()
        processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), processor)
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:  # a checkout that is not installed
            versions[name] = "-"
    return {"python": platform.python_version(), "processor": processor, "packages": versions}


@click.group(
    invoke_without_command=True,
    epilog="""\b
    Examples:
      python -m benchmarks
      python -m benchmarks messages ~/Maildir --json now.json
      python -m benchmarks messages ~/Maildir --compare then.json --fail-above 5
    """,
)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Measure what bounceclass costs. Without a command: messages, scaling and start."""
    if ctx.invoked_subcommand is None:
        ctx.invoke(messages_)
        ctx.invoke(scaling_)
        ctx.invoke(start_)


@cli.command("messages")
@click.argument("folder", type=click.Path(exists=True, path_type=Path), default=messages.FIXTURES)
@click.option("--rounds", type=click.IntRange(min=1), default=9, show_default=True, help="Turns that each method has.")
@click.option("--json", "out", type=click.Path(path_type=Path), metavar="FILE", help="Write the figures to FILE.")
@click.option(
    "--compare",
    "stored",
    type=click.Path(exists=True, path_type=Path),
    metavar="FILE",
    help="Show how the ratios differ from those of FILE.",
)
@click.option(
    "--fail-above",
    type=float,
    metavar="PERCENT",
    help="With --compare: end with 1 where the ratio of classify has grown by more.",
)
def messages_(folder: Path, rounds: int, out: Path | None, stored: Path | None, fail_above: float | None) -> None:
    """Compare classify with other ways to read the messages of FOLDER (an mbox, a Maildir, a directory)."""
    found = {"machine": _machine(), **messages.figures(folder, rounds)}
    messages.print_figures(found)
    if out:
        out.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
    if stored:
        grown = messages.compare(msgspec.json.decode(stored.read_bytes()), found)
        if fail_above is not None and grown > fail_above:
            click.echo(f"classify costs {grown:.1f}% more than it did", err=True)
            sys.exit(1)


@cli.command("scaling")
def scaling_() -> None:
    """Show how the cost grows with size, recipients and messages."""
    scaling.print_figures(scaling.figures())


@cli.command("growth")
def growth_() -> None:
    """Show which hostile messages grow dearest; end with 1 where twice the message takes three times as long."""
    found = hostile.figures()
    hostile.print_figures(found)
    if found[0].ratio > hostile.MOST:
        sys.exit(1)


@cli.command("start")
@click.option("--rounds", type=click.IntRange(min=1), default=15, show_default=True, help="Processes of each kind.")
def start_(rounds: int) -> None:
    """Show what the import, the rules and the command line cost."""
    start.print_figures(start.figures(rounds))


@cli.command("rules")
def rules_() -> None:
    """Show what the number of rules costs."""
    rules.main()


@cli.command("process")
@click.argument("count", type=click.IntRange(min=1), default=process.MESSAGES)
def process_(count: int) -> None:
    """Show what recording COUNT messages costs."""
    process.main(count)


if __name__ == "__main__":
    cli(prog_name="python -m benchmarks")
