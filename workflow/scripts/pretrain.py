"""Pretrain the networks of one experiment that the cache lacks, then write their weights."""

from puzzles.config.job import job
from puzzles.config.specs import Select
from puzzles.config.whole import Whole
from puzzles.data.dataset import read_dataset
from puzzles.networks.own import check_experiment
from puzzles.training.experiment_files import write_networks
from puzzles.training.missing import requests_for, train_missing

with job(snakemake) as config:
    experiment = config.experiments[snakemake.wildcards.experiment]
    networks = experiment.pretrainings
    dataset = read_dataset(snakemake.input.data)
    check_experiment(experiment, dataset)
    whole = Whole.of(config)
    requests = requests_for(networks, config)
    train_missing(f"pretrain {experiment.name}", requests, dataset, {}, config.runtime, snakemake.threads, whole)
    write_networks(snakemake.output.networks, networks, [Select("last")], dataset.digest)
