"""The baseline: one network at a time, a DataLoader over PIL images, torchvision transforms, eager PyTorch, NCHW.

This is the code of the usual CIFAR tutorials. The engine is compared with it, so it is not to be tuned.
"""

import time

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms


class Images(Dataset):
    """Images [N, H, W, C] uint8 and labels [N], as torchvision's data sets give them."""

    def __init__(self, x: np.ndarray, y: np.ndarray, transform: transforms.Compose) -> None:
        self.x, self.y, self.transform = x, y, transform

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = self.x[index]
        return self.transform(Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)), int(self.y[index])


def transform(mean: list[float], std: list[float], augment: bool) -> transforms.Compose:
    """ToTensor and Normalize, and for the residual network crops and flips before them."""
    before = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()] if augment else []
    return transforms.Compose([*before, transforms.ToTensor(), transforms.Normalize(mean, std)])


def train_epoch(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    data: Images,
    order: list[int],
    batch_size: int,
    workers: int,
    device: torch.device,
) -> float:
    """One epoch in the given order; returns its seconds."""
    loader = DataLoader(data, batch_size=batch_size, sampler=order, num_workers=workers, pin_memory=device.type == "cuda")
    criterion = nn.CrossEntropyLoss()
    network.train()
    start = time.perf_counter()
    for images, labels in loader:
        images, labels = images.to(device), labels.to(device)
        optimizer.zero_grad()
        loss = criterion(network(images), labels)
        loss.backward()
        optimizer.step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start
