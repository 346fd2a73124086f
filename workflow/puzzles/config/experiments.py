"""An experiment of the paper: a sweep of networks, and what is kept and measured of each."""

from dataclasses import dataclass, replace

from puzzles.config.specs import NetworkSpec, Select

NORMS = ("l2", "l2_biases", "l1", "linf", "spectral", "output")


@dataclass(frozen=True)
class Network:
    """One network of an experiment: its place in the sweep and its spec."""

    name: str  # e.g. std0.05-seed3-1a2b3c4d
    group: str
    axis: str
    value: float
    spec: NetworkSpec
    pretraining: NetworkSpec | None = None


@dataclass(frozen=True)
class Experiment:
    """A sweep: its networks, and what to keep and measure of each."""

    name: str
    description: str
    networks: tuple[Network, ...]
    select: tuple[Select, ...]
    norms: tuple[str, ...]
    fit_groups: tuple[str, ...]  # the groups that enter the fitted lines
    shards: int
    output_image: int  # index of x0, the training image of the output norm
    reference_images: int  # how many images replace x0 in turn, to see how much results depend on it

    @property
    def dataset(self) -> str:
        """The name of the data set, one for all networks."""
        return self.networks[0].spec.dataset

    @property
    def pretrainings(self) -> tuple[Network, ...]:
        """The networks to pretrain; each is listed once, even if several fine-tunings start from it."""
        found = {}
        for n in self.networks:
            if n.pretraining is not None:
                name = network_name(n.axis, n.value, n.pretraining)
                found[n.pretraining.hash] = replace(n, name=name, spec=n.pretraining, pretraining=None)
        return tuple(found.values())


def network_name(axis: str, value: float, spec: NetworkSpec) -> str:
    """A readable name that is unique to a spec, e.g. ``std0.05-seed3-1a2b3c4d``."""
    label = {"init_std": "std", "init_gain": "gain", "train_size": "n"}.get(axis, axis)
    kind = "random_labels-" if spec.labels == "random" else ""
    return f"{kind}{label}{value:g}-seed{spec.seed}-{spec.hash[:8]}"
