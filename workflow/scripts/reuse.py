"""Take the tables of one experiment from a published run."""

import logging
import shutil

from puzzles.base.files import atomic
from puzzles.config.job import job
from puzzles.output.reuse import check_same_data, measuring_code, origins

with job(snakemake):
    run, experiment = snakemake.params.run, snakemake.wildcards.experiment
    check_same_data(run, snakemake.input.dataset)
    if origins({experiment: run})[experiment]["measuring_code"] != measuring_code():
        logging.warning("%s: the published run %s was measured by other code than this version's", experiment, run)
    for source, target in zip(snakemake.input.tables, snakemake.output, strict=True):
        with atomic(target) as temporary:
            shutil.copy(source, temporary)
