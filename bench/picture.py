"""Draw the tables in results/bench as one picture.

PYTHONPATH=.:workflow python bench/picture.py [--out results/bench]
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from puzzles.base.csvs import read_csv
from puzzles.base.files import atomic
from puzzles.output import style


def ratios(axes: plt.Axes, table: pd.DataFrame) -> None:
    """How many times faster than the baseline, with the range over runs; beside it the share of the peak."""
    at = np.arange(len(table))[::-1]
    ends = [table.ratio - table.ratio_low, table.ratio_high - table.ratio]
    axes.barh(at, table.ratio, xerr=ends, color=style.BLUE, height=0.6, error_kw={"capsize": 3, "elinewidth": 1})
    for y, row in zip(at, table.itertuples(), strict=True):
        shares = f"{100 * row.share_of_peak:.1f} % of peak, was {100 * row.baseline_share_of_peak:.1f} %"
        text = f"  {row.ratio:.1f}x  ({shares})"
        axes.text(row.ratio_high, y, text, va="center", fontsize=8)
    axes.set(yticks=at, yticklabels=table.network, xlabel="times the baseline's speed, and range of runs", title="(a) speed")
    axes.set_xlim(0, 2.6 * table.ratio_high.max())
    axes.axvline(1, color=style.BLACK, linewidth=0.8)
    axes.grid(visible=False, axis="y")


def growth(axes: plt.Axes, table: pd.DataFrame, x: str, label: str, title: str) -> None:
    """Seconds of an epoch, and the line of proportional cost through the last point."""
    axes.plot(table[x], table.seconds_per_epoch, "o-", color=style.BLUE, label="measured")
    last = table.iloc[-1]
    proportional = last.seconds_per_epoch * table[x] / last[x]
    axes.plot(table[x], proportional, "--", color=style.GREY, label="proportional")
    axes.set(xscale="log", yscale="log", xlabel=label, ylabel="seconds for an epoch", title=title)
    axes.legend()


def overhead(axes: plt.Axes, table: pd.DataFrame) -> None:
    """Shares of the demo's core-seconds."""
    at = np.arange(len(table))[::-1]
    axes.barh(at, 100 * table.share, color=[style.BLUE] + [style.ORANGE] * (len(table) - 1), height=0.6)
    for y, share in zip(at, table.share, strict=True):
        axes.text(100 * share, y, f" {100 * share:.1f} %", va="center", fontsize=8)
    axes.set(yticks=at, yticklabels=table.part, xlabel="share of wall time x cores (%)", xlim=(0, 105))
    axes.set(title=f"(d) a demo run, {table.wall_seconds.iloc[0]:.0f} s")
    axes.grid(visible=False, axis="y")


def main() -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("results/bench"))
    folder = parser.parse_args().out
    compared, grown, spent = (read_csv(folder / f"{name}.csv") for name in ("compare", "growth", "overhead"))
    number, examples = grown[grown.part == "networks"], grown[grown.part == "examples"]
    network = grown.network.iloc[0]
    with style.figure(2, 2) as (figure, panels):
        ratios(panels[0], compared)
        growth(panels[1], number, "networks", f"networks of {number.examples.iloc[0]:,} examples each", f"(b) {network}")
        growth(panels[2], examples, "examples", "training examples of one network", f"(c) {network}")
        overhead(panels[3], spent)
        figure.suptitle(compared.device.iloc[0], fontsize=10)
        with atomic(folder / "bench.png") as temporary:
            figure.savefig(temporary, format="png")
    print(folder / "bench.png")


if __name__ == "__main__":
    main()
