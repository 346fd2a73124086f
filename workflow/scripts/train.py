"""Train the networks of one experiment that the cache lacks, then write its weights and its history."""

from puzzles.config.job import job
from puzzles.config.whole import Whole
from puzzles.data.dataset import read_dataset
from puzzles.networks.own import check_experiment
from puzzles.training.experiment_files import read_pretrained, write_history, write_networks
from puzzles.training.missing import requests_for, train_missing

with job(snakemake) as config:
    experiment = config.experiments[snakemake.wildcards.experiment]
    dataset = read_dataset(snakemake.input.data)
    check_experiment(experiment, dataset)
    pretrained = read_pretrained(snakemake.input.get("pretrained"))
    whole = Whole.of(config)
    requests = requests_for(experiment.networks, config)
    train_missing(f"train {experiment.name}", requests, dataset, pretrained, config.runtime, snakemake.threads, whole)
    write_history(snakemake.output.history, experiment, dataset.digest)
    write_networks(snakemake.output.networks, experiment.networks, experiment.select, dataset.digest)
