"""What follows from the configuration, the code or the paper's own numbers: identities, not results."""

import numpy as np
from torch import nn

from puzzles.analysis.evidence import RANGE, Evidence, Found
from puzzles.analysis.registry import statistic
from puzzles.config.specs import Architecture, from_dict
from puzzles.networks.architectures import build, num_parameters, weight_layers
from puzzles.networks.norms import layer_norms


@statistic
def parameters(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """How many parameters an architecture of the configuration has, once batch norm is absorbed."""
    known = evidence.config.raw["architectures"]
    if test["architecture"] not in known:
        return Found(np.nan, because="not in this configuration", absent=True)
    architecture = from_dict(Architecture, known[test["architecture"]])
    return Found(float(num_parameters(build(architecture, tuple(test["input"]), test["classes"]))))


@statistic
def l1_divisor(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """What the L1 norm of each layer of a network is divided by (Fig. 9), by adding up its weights."""
    network = build(Architecture("conv", (3, 4), bias="first"), (1, 8, 8), 10)
    for parameter in network.parameters():
        nn.init.constant_(parameter, -0.25)
    sums = [sum(float(p.detach().double().abs().sum()) for p in layer.parameters()) for _, layer in weight_layers(network)]
    ratios = [total / norm for total, norm in zip(sums, layer_norms(network, "l1"), strict=True)]
    return Found(float(np.mean(ratios)), min(ratios), max(ratios), RANGE)


@statistic
def settings(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """The share of networks whose specs have the settings named (``network``, and ``pretrain`` for their pretraining)."""
    hits: list[bool] = []
    others: dict[str, set[str]] = {}  # what is found instead of a setting
    for name in experiments:
        experiment = evidence.config.experiments[name]
        for network in (n for n in experiment.networks if n.group in test.get("groups", experiment.fit_groups)):
            wanted = [("", network.spec, f, v) for f, v in test.get("network", {}).items()]
            if network.pretraining is not None:
                wanted += [("pretraining ", network.pretraining, f, v) for f, v in test.get("pretrain", {}).items()]
            missed = [(f"{of}{f}", getattr(spec, f), v) for of, spec, f, v in wanted if getattr(spec, f) != v]
            hits.append(not missed)
            for setting, found, asked in missed:
                others.setdefault(f"{setting} {asked}", set()).add(str(found))
    because = ", ".join(f"{asked} is asked, found {' and '.join(sorted(found))}" for asked, found in others.items())
    return Found(float(np.mean(hits)), because=because)


@statistic
def arithmetic(evidence: Evidence, test: dict, experiments: list[str]) -> Found:
    """How far the paper's mean -+ standard deviation are from the ends it states."""
    (low, high), mean, spread = test["ends"], test["mean"], test["std"]
    return Found(max(abs(mean - spread - low), abs(mean + spread - high)))
