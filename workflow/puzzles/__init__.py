"""The library behind the workflow; it works without Snakemake.

Packages: ``base``, ``normalize``, ``config``, ``data``, ``networks``, ``training``, ``analysis``, ``output``. Each imports
only from those listed before it.

``import puzzles`` offers what is for networks of one's own (docs/library.md). It needs torch alone, and loads it when first
used: planning a run imports this package too.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from puzzles.base.errors import NormalizationError
    from puzzles.normalize.folding import fold_batchnorm
    from puzzles.normalize.losses import margin_ratio, normalized_cross_entropy
    from puzzles.normalize.metric import NormalizedLoss
    from puzzles.normalize.product import Normalizer, layer_norms, norm_product, output_norm

_MODULES = {
    "NormalizationError": "base.errors",
    "NormalizedLoss": "normalize.metric",
    "Normalizer": "normalize.product",
    "fold_batchnorm": "normalize.folding",
    "layer_norms": "normalize.product",
    "margin_ratio": "normalize.losses",
    "norm_product": "normalize.product",
    "normalized_cross_entropy": "normalize.losses",
    "output_norm": "normalize.product",
}

__all__ = [
    "NormalizationError",
    "NormalizedLoss",
    "Normalizer",
    "fold_batchnorm",
    "layer_norms",
    "margin_ratio",
    "norm_product",
    "normalized_cross_entropy",
    "output_norm",
]


def __getattr__(name: str) -> object:
    """A public name, from the module that has it (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module 'puzzles' has no attribute '{name}'")
    return getattr(import_module(f"puzzles.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
