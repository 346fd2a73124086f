"""The page docs/architectures.md: rho and normalized loss of common networks, or why they are refused. No number is typed.

PYTHONPATH=.:workflow python bench/architectures_page.py
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jinja2
import torch
from torch import nn
from torchvision import models

import puzzles
from bench.compare import ROOT
from bench.own_networks import CLASSES, INDICES, OWN
from puzzles.base.files import atomic
from puzzles.normalize.homogeneity import MEANINGLESS
from puzzles.normalize.layers import ALTERNATIVE

PAGE = ROOT / "docs" / "architectures.md"
TEMPLATE = Path(__file__).parent / "architectures.md.j2"
EXAMPLES = 4
SIDES = {"alexnet": 64, "inception_v3": 80, "vit_b_16": 224, "maxvit_t": 224, "squeezenet1_1": 64}
WITHOUT_SLOW_INITIALIZATION = {"vgg11", "vgg11_bn", "googlenet", "inception_v3"}
TORCHVISION = [
    "alexnet",
    "vgg11",
    "vgg11_bn",
    "squeezenet1_1",
    "resnet18",
    "wide_resnet50_2",
    "resnext50_32x4d",
    "googlenet",
]
TORCHVISION += ["inception_v3", "densenet121", "mobilenet_v2", "mobilenet_v3_small", "shufflenet_v2_x0_5", "mnasnet0_5"]
TORCHVISION += ["efficientnet_b0", "efficientnet_v2_s", "regnet_y_400mf", "convnext_tiny", "vit_b_16", "swin_t"]
QUICK = {"squeezenet1_1", "resnet18", "shufflenet_v2_x0_5", "mobilenet_v3_small"}  # of torchvision's, what tests make again
BIASES = "pass biases='ignore'"


@dataclass(frozen=True)
class Row:
    """What the page says of one network; empty where there is no such number."""

    name: str
    shape: str
    biases: str  # the argument
    rho: float | None
    loss: float | None
    output_norm: float
    output_loss: float | None  # none where every output is 0
    reason: str


def networks() -> dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]]:
    """What builds each network, from random weights, and the shape of its input."""
    found = {}
    for name in TORCHVISION:
        options = {"init_weights": False} if name in WITHOUT_SLOW_INITIALIZATION else {}
        options |= {"aux_logits": False} if name == "inception_v3" else {}
        side = SIDES.get(name, 32)
        found[name] = (partial(models.get_model, name, num_classes=CLASSES, **options), (3, side, side))
    return found | OWN


def row(name: str) -> Row:
    """One network, measured on four random examples."""
    build, shape = networks()[name]
    torch.manual_seed(0)
    model = build().eval()
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randint(50, (EXAMPLES, *shape), generator=draw)
    if shape != INDICES:
        inputs = torch.randn(EXAMPLES, *shape, generator=draw)
    with torch.no_grad():
        logits = model(inputs)
    target = torch.arange(EXAMPLES) % CLASSES
    scale = puzzles.output_norm(model, inputs[:1])
    biases, rho, reason = _product(model, inputs)
    loss = None if rho is None else float(puzzles.normalized_cross_entropy(logits, target, rho))
    output_loss = float(puzzles.normalized_cross_entropy(logits, target, scale)) if scale else None
    return Row(name, " × ".join(str(n) for n in shape), biases, rho, loss, scale, output_loss, reason)


def _product(model: nn.Module, inputs: torch.Tensor) -> tuple[str, float | None, str]:
    """The argument ``biases``, rho, and why there is none."""
    try:
        return "first", puzzles.norm_product(model, inputs), ""
    except puzzles.NormalizationError as error:
        if BIASES not in str(error):
            text = str(error).removesuffix(f"; {ALTERNATIVE}").removeprefix(f"{MEANINGLESS}: ")
            return "", None, text
    return "ignore", puzzles.norm_product(model, inputs, biases="ignore"), ""


def line(found: Row) -> str:
    """A row of the table, in Markdown."""
    values = [f"`{found.name}`" if found.name in TORCHVISION else found.name, found.shape]
    if found.rho is None:
        values += ["–", "–", found.reason.replace("|", "\\|")]
    else:
        values += [f"{found.rho:.4g}", f"{found.loss:.6f}", f'`biases="{found.biases}"`']
    values += [f"{found.output_norm:.3g}", "–" if found.output_loss is None else f"{found.output_loss:.4f}"]
    return "| " + " | ".join(values) + " |"


def render(rows: list[Row]) -> str:
    """The page as text."""
    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined, autoescape=False
    )
    template = environment.from_string(TEMPLATE.read_text())
    theirs = [line(r) for r in rows if r.name in TORCHVISION]
    ours = [line(r) for r in rows if r.name not in TORCHVISION]
    measured = sum(r.rho is not None for r in rows)
    numbers = {
        "count": len(rows),
        "measured": measured,
        "examples": EXAMPLES,
        "classes": CLASSES,
        "chance": math.log(CLASSES),
    }
    return template.render(theirs=theirs, ours=ours, **numbers)


def main() -> None:
    """Write the page."""
    rows = []
    for name in networks():
        rows.append(row(name))
        print(line(rows[-1]), flush=True)
    with atomic(PAGE) as temporary:
        temporary.write_text(render(rows))
    print(PAGE.relative_to(ROOT))


if __name__ == "__main__":
    main()
