"""The normalized loss as a callback of Lightning, on scikit-learn's digits; in a script of your own, the callback is enough.

python examples/lightning_callback.py [EPOCHS]
"""

import sys
from typing import Any

import lightning
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import puzzles


class LogNormalizedLoss(lightning.Callback):
    """Logs ``normalized_train_loss`` and ``normalized_val_loss`` at the end of each validation epoch.

    Both are of the network as it is then, in eval mode, so the training set is passed through it once more.

    Args:
        train: the training batches.
        kwargs: for ``puzzles.NormalizedLoss``, such as ``biases="ignore"``.
    """

    def __init__(self, train: DataLoader, **kwargs: Any) -> None:
        self.train, self.kwargs = train, kwargs
        self.loss: puzzles.NormalizedLoss | None = None

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """The model is in eval mode here, without gradients."""
        if trainer.sanity_checking:
            return
        validation = trainer.val_dataloaders
        if self.loss is None:
            self.loss = puzzles.NormalizedLoss(pl_module, next(iter(self.train))[0][:4], **self.kwargs).to(pl_module.device)
        for name, batches in (("train", self.train), ("val", validation)):
            self.loss.reset()
            for x, y in batches:
                self.loss.update(pl_module(x.to(pl_module.device)), y)
            pl_module.log(f"normalized_{name}_loss", self.loss.compute())
        pl_module.log("rho", self.loss.rho)


class Digits(lightning.LightningModule):
    """A small convolutional network, as anybody would write it."""

    def __init__(self) -> None:
        super().__init__()
        layers = [nn.Conv2d(1, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.Flatten(), nn.Linear(24 * 64, 10)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, 1, 8, 8] to [N, 10]."""
        return self.layers(x)

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], index: int) -> torch.Tensor:
        """The usual loss."""
        x, y = batch
        loss = nn.functional.cross_entropy(self(x), y)
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: tuple[torch.Tensor, torch.Tensor], index: int) -> None:
        """The usual loss."""
        x, y = batch
        self.log("val_loss", nn.functional.cross_entropy(self(x), y))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Stochastic gradient descent."""
        return torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)


def main(epochs: int = 5, **trainer: Any) -> lightning.Trainer:
    """Train, and print what was logged last."""
    lightning.seed_everything(0, verbose=False)
    x, y = (torch.from_numpy(part) for part in load_digits(return_X_y=True))
    data = TensorDataset((x.float() / 8 - 1).view(-1, 1, 8, 8), y)
    train, test = (torch.utils.data.Subset(data, indices) for indices in (range(500), range(500, len(data))))
    batches = DataLoader(train, batch_size=50, shuffle=True)
    callback = LogNormalizedLoss(DataLoader(train, batch_size=500), biases="ignore")
    options: dict[str, Any] = {"max_epochs": epochs, "callbacks": [callback], "logger": False, "enable_progress_bar": False}
    options |= {"enable_checkpointing": False, "enable_model_summary": False} | trainer
    runner = lightning.Trainer(**options)
    runner.fit(Digits(), batches, DataLoader(test, batch_size=500))
    print("  ".join(f"{name} {float(value):.7g}" for name, value in sorted(runner.callback_metrics.items())))
    return runner


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
