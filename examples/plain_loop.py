"""The normalized loss beside the usual ones, in a plain PyTorch loop on scikit-learn's digits.

python examples/plain_loop.py [EPOCHS]
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn

import puzzles


def train(epochs: int = 100, seed: int = 0) -> list[dict[str, float]]:
    """Train a small network with batch norm; one row of losses and errors for each epoch."""
    torch.manual_seed(seed)
    x, y = (torch.from_numpy(part) for part in load_digits(return_X_y=True))
    x = (x.float() / 8 - 1).view(-1, 1, 8, 8)  # NCHW
    splits = {"train": (x[:500], y[:500]), "test": (x[500:], y[500:])}
    model = nn.Sequential(
        nn.Conv2d(1, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(),
        nn.Conv2d(24, 24, 3, stride=2), nn.BatchNorm2d(24), nn.ReLU(), nn.Flatten(), nn.Linear(24 * 9, 10),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    normalized = puzzles.NormalizedLoss(model, x[:4], biases="ignore")  # traced and tested here, once
    rows = []
    for epoch in range(1, epochs + 1):
        model.train()
        for batch in torch.randperm(500).split(50):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
        model.eval()
        row = {"epoch": float(epoch)}
        for split, (images, labels) in splits.items():
            with torch.no_grad():
                logits = model(images)
            normalized.reset()
            normalized.update(logits, labels)
            row |= {f"{split}_loss": nn.functional.cross_entropy(logits, labels).item()}
            row |= {f"normalized_{split}_loss": normalized.compute().item()}
            row |= {f"{split}_error": (logits.argmax(1) != labels).double().mean().item()}
        row |= {"rho": normalized.rho.item()}
        rows.append(row)
    return rows


if __name__ == "__main__":
    for row in train(*map(int, sys.argv[1:])):
        print("  ".join(f"{name} {value:.7g}" for name, value in row.items()))
