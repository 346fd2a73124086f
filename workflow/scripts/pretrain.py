"""Train the networks of one experiment on corrupted labels, those that the cache lacks."""

from puzzles.data import load
from puzzles.runner import job
from puzzles.specs import Select
from puzzles.training import ensure_trained, wanted, write_networks

with job(snakemake) as config:
    name = snakemake.wildcards.experiment
    networks = config.experiments[name].pretrainings
    dataset = load(snakemake.input.data)
    ensure_trained(f"pretrain {name}", wanted(networks, config), dataset, {}, config.runtime)
    write_networks(snakemake.output.networks, networks, [Select("last")], dataset.digest)
