"""The page docs/cost.md: what the paper costs on so many cores, from the published benchmarks. No number is typed.

PYTHONPATH=.:workflow python bench/cost_page.py
"""

from pathlib import Path

import jinja2
import pandas as pd
import yaml

from bench import cost
from bench.compare import BATCH, ROOT
from puzzles.base import paths
from puzzles.base.csvs import read_csv
from puzzles.base.files import atomic
from puzzles.config.configuration import Config, load_config
from puzzles.config.experiments import Network
from puzzles.config.specs import NetworkSpec

PAGE = ROOT / "docs" / "cost.md"
TEMPLATE = Path(__file__).parent / "cost.md.j2"
BENCH = ROOT / paths.REFERENCE / "bench"
CORES = (2, 16, 64)
NEAREST = {"conv5_16": "conv5", "conv5_16_plain": "conv5"}  # whose speed stands for another's


def core_speeds(config: Config) -> dict[str, float]:
    """PFLOP that one core computes in an hour, by architecture: from the speeds of both cores, or of one (residual)."""
    compared = read_csv(BENCH / "compare.csv")
    cores = int(compared.device.iloc[0].split()[0])
    per_core = compared.network_steps_per_s * compared.pflop_per_epoch / 50_000 * BATCH / cores * 3600
    speeds = dict(zip(compared.network, per_core, strict=True))
    profile = read_csv(BENCH / "profile.csv")
    step = profile[(profile.network == "resnet56") & (profile.engine == "ours") & (profile.part == "step")].ms.iloc[0] / 1000
    known = cost.SETS["cifar10"]
    spec = config.experiments["init_resnet"].networks[0].spec
    flops = cost.operations(spec.architecture, known[2], known[3], known[4])[1]
    return speeds | {"resnet56": flops / 1e15 / step * 3600}


def hours(spec: NetworkSpec, speed: float) -> float:
    """Of one core, for training and evaluating a network."""
    return sum(cost.pflop(spec)) / speed


def estimate(config: Config, speeds: dict[str, float]) -> pd.DataFrame:
    """For each experiment: networks, PFLOP, core-hours, the longest chain of one network, and hours on so many cores.

    Networks are independent, one core each, so more cores than networks are of no use, and none is finished before the
    slowest with its pretraining.
    """
    rows, known = [], set()
    for name, experiment in config.experiments.items():
        speed = _speed(config.raw["experiments"][name], speeds)
        specs = {n.spec.hash: n.spec for n in (*experiment.pretrainings, *experiment.networks)}
        own = [spec for key, spec in specs.items() if key not in known]
        known |= set(specs)
        work = sum(hours(spec, speed) for spec in own)
        chain = max((_chain(n, speed) for n in experiment.networks if n.spec in own), default=0.0)
        row = {"experiment": name, "networks": len(own), "pflop": sum(sum(cost.pflop(s)) for s in own)}
        row |= {"core_hours": work, "chain": chain}
        rows.append(row | {f"on_{cores}": max(work / cores, chain) for cores in CORES})
    table = pd.DataFrame(rows)
    total = {"experiment": "all"} | {c: table[c].sum() for c in ("networks", "pflop", "core_hours")}
    total |= {"chain": table.chain.max()}
    total |= {f"on_{cores}": max(total["core_hours"] / cores, total["chain"]) for cores in CORES}
    return pd.concat([table, pd.DataFrame([total])], ignore_index=True)


def _speed(experiment: dict, speeds: dict[str, float]) -> float:
    name = experiment["network"]["architecture"]
    return speeds[name if name in speeds else NEAREST[name]]


def _chain(network: Network, speed: float) -> float:
    """Hours of one core for a network and the pretraining that it waits for."""
    return hours(network.spec, speed) + (hours(network.pretraining, speed) if network.pretraining else 0.0)


def on_a_gpu(config: Config, speeds: dict[str, float]) -> list[dict]:
    """What training networks at once took on a GPU, and how many times as long one core takes for the same epoch."""
    rows = read_csv(BENCH / "gpu_training.csv").to_dict("records")
    for row in rows:
        spec = config.experiments[row["experiment"]].networks[0].spec
        of_a_core = hours(spec, _speed(config.raw["experiments"][row["experiment"]], speeds)) * 3600 / spec.epochs
        row["of_one"] = row["seconds_per_epoch"] / row["networks"]
        row["tflops"] = sum(cost.pflop(spec)) * 1000 / spec.epochs / row["of_one"]
        row["cores"] = of_a_core / row["of_one"]
    return rows


def faults() -> list[dict]:
    """Of each kind of fault that `make chaos` made: how often, what was lost, how long it took to recover."""
    grouped = read_csv(BENCH / "chaos.csv").groupby("fault", sort=False)
    return [
        {
            "fault": fault,
            "times": len(rows),
            "same_bytes": int(rows.same_bytes.sum()),
            "trained_again": int(rows.trained_again.sum()),
            "commands_again": int(rows.commands_again.max()),
            "median": rows.seconds_more.median(),
            "most": rows.seconds_more.max(),
            "undisturbed": rows.undisturbed_seconds.median(),
        }
        for fault, rows in grouped
    ]


def render() -> str:
    """The page as text."""
    environment = jinja2.Environment(
        trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined, autoescape=False
    )
    config = load_config(yaml.safe_load(paths.PAPER_CONFIG.read_text()))
    speeds = core_speeds(config)
    table = estimate(config, speeds)
    gpu = on_a_gpu(config, speeds)
    measured = read_csv(BENCH / "full_size.csv")
    return environment.from_string(TEMPLATE.read_text()).render(
        cores=CORES,
        estimate=table.to_dict("records"),
        measured=measured.to_dict("records"),
        sizes={name: sum(s[:2]) * s[2] * s[3] ** 2 / 1e6 for name, s in cost.SETS.items()},
        faults=faults(),
        gpu=gpu,
        gpu_hours=table.pflop.iloc[-1] * 1000 / gpu[0]["tflops"] / 3600,
    )


def main() -> None:
    """Write the page."""
    with atomic(PAGE) as temporary:
        temporary.write_text(render())
    print(PAGE.relative_to(ROOT))


if __name__ == "__main__":
    main()
