"""Train one shard of an experiment: every n-th of its networks."""

from pathlib import Path

from puzzles.config.job import job
from puzzles.config.whole import Whole
from puzzles.data.dataset import read_dataset
from puzzles.networks.own import check_experiment
from puzzles.training.experiment_files import read_pretrained
from puzzles.training.missing import requests_for, train_missing

with job(snakemake) as config:
    experiment = config.experiments[snakemake.wildcards.experiment]
    networks = experiment.networks[int(snakemake.wildcards.shard) :: experiment.shards]
    title = f"train {experiment.name}, shard {snakemake.wildcards.shard}"
    pretrained = read_pretrained(snakemake.input.get("pretrained"))
    dataset = read_dataset(snakemake.input.data)
    check_experiment(experiment, dataset)
    whole = Whole.of(config)
    train_missing(title, requests_for(networks, config), dataset, pretrained, config.runtime, snakemake.threads, whole)
    Path(snakemake.output.done).write_text("".join(f"{n.spec.hash} {n.name}\n" for n in networks))
