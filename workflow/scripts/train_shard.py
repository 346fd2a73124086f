"""Train one shard of an experiment: every n-th of its networks."""

from pathlib import Path

from puzzles.data import load
from puzzles.runner import job
from puzzles.training import ensure_trained, read_pretrained, wanted

with job(snakemake) as config:
    experiment = config.experiments[snakemake.wildcards.experiment]
    networks = experiment.networks[int(snakemake.wildcards.shard) :: experiment.shards]
    title = f"train {experiment.name}, shard {snakemake.wildcards.shard}"
    pretrained = read_pretrained(snakemake.input.get("pretrained"))
    ensure_trained(title, wanted(networks, config), load(snakemake.input.data), pretrained, config.runtime)
    Path(snakemake.output.done).write_text("".join(f"{n.spec.hash} {n.name}\n" for n in networks))
