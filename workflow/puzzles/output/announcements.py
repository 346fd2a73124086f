"""What is said on the terminal before a run and after it: how much there is to train, and where the results are."""

from pathlib import Path

from puzzles.base import paths
from puzzles.config.configuration import Config
from puzzles.config.whole import PRETRAIN, Left, Whole, cached, duration


def to_train(whole: Whole, device: str, every: bool = False) -> str:
    """How many networks a run needs, has in the cache and has to train, and how long that takes; empty if it needs none.

    Args:
        device: where they train, ``cpu`` or ``cuda``.
        every: also for each experiment.
    """
    done, left = cached(), whole.left(device)
    count = len(whole.all)
    if not count:
        return ""
    lines = [f"{count} networks: {count - left.networks} in the cache, {left.networks} to train{how_long(whole, left)}"]
    seen: set[str] = set()
    for rule, name in whole.jobs if every else []:
        specs = {n.spec.hash for n in whole.networks(rule, name)}
        own, seen = specs - seen, seen | specs
        shared = f", {len(specs) - len(own)} shared with those above" if specs - own else ""
        label = f"{name}, pretraining" if rule == PRETRAIN else name
        lines.append(f"  {label}: {len(own & done)} in the cache, {len(own - done)} to train{shared}")
    return "\n".join(lines)


def how_long(whole: Whole, left: Left) -> str:
    """How long what is left takes, on how many cores, and what that is based on; empty if nothing is left."""
    if not left.networks:
        return ""
    if left.seconds is None:
        return "; how long that takes is not known: nothing was trained on such a device here"
    cores = whole.started.cores
    where = f"on {cores} core{'s' * (cores > 1)}" if cores else "of one process at a time"
    return f", about {duration(left.seconds)} {where} ({left.basis})"


def where(config: Config, targets: list[str]) -> str:
    """Where the results that were asked for are, a line for each; nothing about what is not there.

    Args:
        targets: names of rules.
    """
    whole = bool({"all", "report"} & set(targets))
    lines = [(name, f"figures/{name}.png", ", .pdf and .svg") for name in config.figures if name in targets]
    if whole or "figures" in targets:
        lines.append(("Figures", "figures", "/*.png, *.pdf and *.svg"))
    if whole or {"tables", "scorecard"} & set(targets):
        lines.append(("Tables", "tables", "/*.csv"))
        lines.append(("Claims", "tables/scorecard.csv", ""))
    if whole:
        lines.append(("Report", "report.html", "  (open it in a browser)"))
    there = [(label, Path(paths.run(config.run, name)), more) for label, name, more in lines]
    return "\n".join(f"{label + ':':8} {path.as_posix()}{more}" for label, path, more in there if path.exists())
