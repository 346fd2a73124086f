"""Draw docs/library.png: what the plain loop logs, over one training.

PYTHONPATH=workflow python examples/picture.py
"""

from pathlib import Path

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt
from plain_loop import train

PICTURE = Path(__file__).parent.parent / "docs" / "library.png"
PANELS = {
    "Cross-entropy": ("train_loss", "test_loss"),
    "Cross-entropy of f / ρ": ("normalized_train_loss", "normalized_test_loss"),
    "Test error": ("test_error",),
}
STYLE = {"train": {"color": "#0072B2", "linestyle": "-"}, "test": {"color": "#D55E00", "linestyle": "--"}}


def draw(rows: list[dict[str, float]]) -> plt.Figure:
    """Losses, normalized losses and test error against the epoch."""
    figure, axes = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
    epochs = [row["epoch"] for row in rows]
    for axis, (title, columns) in zip(axes, PANELS.items(), strict=True):
        for column in columns:
            split = "train" if "train" in column else "test"
            axis.plot(
                epochs,
                [row[column] for row in rows],
                **STYLE[split],
                label="training set" if split == "train" else "test set",
            )
        axis.set(title=title, xlabel="epoch", xscale="log")
    axes[0].set_yscale("log")
    axes[0].legend(frameon=False)
    return figure


if __name__ == "__main__":
    draw(train()).savefig(PICTURE, dpi=120)
    print(PICTURE.name)
