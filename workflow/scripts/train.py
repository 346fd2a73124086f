"""Train the networks of one experiment that the cache lacks, then write its weights and its history."""

from puzzles.data import load
from puzzles.runner import job
from puzzles.training import ensure_trained, read_pretrained, wanted, write_history, write_networks

with job(snakemake) as config:
    experiment = config.experiments[snakemake.wildcards.experiment]
    dataset = load(snakemake.input.data)
    pretrained = read_pretrained(snakemake.input.get("pretrained"))
    ensure_trained(f"train {experiment.name}", wanted(experiment.networks, config), dataset, pretrained, config.runtime)
    write_history(snakemake.output.history, experiment, dataset.digest)
    write_networks(snakemake.output.networks, experiment.networks, experiment.select, dataset.digest)
