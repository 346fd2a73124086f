"""One of two processes that add up their normalized losses, started by test_normalized_loss.py.

python tests/metric_process.py RANK PORT RESULT [torchmetrics]: the last word forbids the import of torchmetrics.
"""

import os
import sys

import torch
from torch import distributed, nn

import puzzles

EXAMPLES, CLASSES = 60, 5


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(), nn.Linear(16, CLASSES)).eval()


def data(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(EXAMPLES, 4, generator=generator), torch.randint(CLASSES, (EXAMPLES,), generator=generator)


def metric(model: nn.Module, **kwargs: object) -> "puzzles.NormalizedLoss":
    return puzzles.NormalizedLoss(model, data()[0][:3], biases="ignore", **kwargs)


def main(rank: int, port: str, result: str) -> None:
    """Write what this process computes: of parts, of one part that is empty, and what it says of unequal weights."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    distributed.init_process_group("gloo", rank=rank, world_size=2)
    (x, y), model = data(), network()
    loss = metric(model)
    found: list[object] = []
    for parts in ([slice(0, 5), slice(5, 60)], [slice(0, 60), slice(60, 60)]):
        loss.reset()
        if parts[rank] != slice(60, 60):
            loss.update(model(x[parts[rank]]), y[parts[rank]])
        found += [float(loss.compute()), float(loss.compute()), int(loss.examples)]
    model[0].weight.data.mul_(1 + rank)
    loss.reset()
    loss.update(model(x), y)
    try:
        loss.compute()
    except puzzles.NormalizationError as error:
        found.append(str(error))
    torch.save(found, result)
    distributed.destroy_process_group()


if __name__ == "__main__":
    if sys.argv[4:]:
        sys.modules[sys.argv[4]] = None  # type: ignore[assignment]
    main(int(sys.argv[1]), *sys.argv[2:4])
