"""Take the tables of one experiment from a published run."""

import shutil
from pathlib import Path

from puzzles.files import atomic
from puzzles.runner import job

with job(snakemake):
    for source, target in zip(snakemake.input, snakemake.output, strict=True):
        with atomic(target) as temporary:
            shutil.copy(Path(source), temporary)
