# Loads and checks the configuration, and defines the functions that several rules use.
import functools
import sys
from pathlib import Path

DRY = {"-n", "--dry-run", "--dryrun"}
here = Path(str(workflow.current_basedir)).parent  # the folder workflow/
sys.path.insert(0, str(here))

from puzzles.base import paths
from puzzles.base.clock import date_back_to_now
from puzzles.config.checks import check_files
from puzzles.config.configuration import load_config
from puzzles.config.own_code import locate_builders
from puzzles.config.work import minutes
from puzzles.base.dictionary import ordered
from puzzles.base.digests import code_digest, digest
from puzzles.base.errors import ConfigError
from puzzles.config.choices import note_other_configuration
from puzzles.output.reuse import (
    measurement_digest,
    measuring_code,
    origins,
    reusable,
    reused_files,
)
from puzzles.base.interrupts import end_jobs_when_interrupted
from puzzles.base.stale_lock import clear_stale_lock
from puzzles.base.environment import has_gpu, set_environment

set_environment(str(here))
makes_files = workflow.is_main_process and not DRY & set(sys.argv)
if makes_files:
    clear_stale_lock()

try:
    check_files(workflow.configfiles)
    locate_builders(config.get("architectures") or {}, workflow.configfiles)
    plan = load_config(config)
    plan.check_targets(sys.argv[1:])
except ConfigError as error:
    sys.exit(str(error))

if makes_files:
    date_back_to_now([Path(paths.run(plan.run)), paths.DATA, paths.REFERENCE])
if workflow.is_main_process:
    note_other_configuration(plan)
    end_jobs_when_interrupted()

reused = reusable(plan)


wildcard_constraints:
    experiment="[A-Za-z0-9_]+",
    dataset="[A-Za-z0-9_-]+",
    figure="fig[A-Za-z0-9_]+",
    shard=r"\d+",


def gpus(rule):
    """How many GPUs a job of a rule asks for.

    The configuration decides (runtime.device), or a profile (set-resources). Where neither says, this machine is asked, but
    only if the jobs run here: on a cluster it says nothing about the nodes.
    """
    set_by_profile = workflow.resource_settings.overwrite_resources.get(rule, {})
    if "gpu" in set_by_profile:
        return int(set_by_profile["gpu"].value)
    device = plan.runtime.get("device", "auto")
    return int(device == "cuda" or (device == "auto" and workflow.local_exec and has_gpu()))


def specs_digest(networks):
    """A digest of what networks are: of their hashes, for the repr of 40,000 specs takes seconds."""
    return digest(*((n.name, n.group, n.value, n.spec.hash) for n in networks))


@functools.cache
def experiment_digest(name):
    """A digest of what is measured in an experiment; computed once, since measuring and judging both ask for it."""
    return measurement_digest(plan.experiments[name])


def missing(networks):
    """The networks that are not in the cache."""
    return [n for n in networks if not paths.cached_network(n.spec.hash).is_file()]


def processes(rule, networks):
    """How many processes a training job asks for: one for each network that is not in the cache.

    Snakemake grants at most as many threads as there are cores, or as a profile's max-threads says, and each process uses
    one. On a GPU one process trains all.
    """
    return 1 if gpus(rule) else max(1, len(missing(networks)))


def training_memory(wildcards, threads, attempt):
    """MB of memory: 3000 for the scaled images, which the processes share, and 1000 for each process; more when it failed."""
    return (3000 + 1000 * threads) * attempt


def training_minutes(rule, networks):
    """A function of a job: the minutes of run time to ask for; twice as many at a second attempt, and so on."""

    def of_job(wildcards, threads, attempt):
        todo = [n.spec for n in missing(networks(wildcards))]
        dataset = plan.raw["datasets"][plan.experiments[wildcards.experiment].dataset]
        return minutes(todo, dataset, threads, bool(gpus(rule))) * attempt

    return of_job


def experiment_networks(wildcards):
    """The networks of an experiment."""
    return plan.experiments[wildcards.experiment].networks


def experiment_pretrainings(wildcards):
    """Those that they start from."""
    return plan.experiments[wildcards.experiment].pretrainings


def out(*parts):
    """The path of a file of this run."""
    return paths.run(plan.run, *parts)


def logs(*parts):
    return out("logs", *parts)


def benchmarks(*parts):
    return out("benchmarks", *parts)


def experiment_dataset(wildcards):
    """The data set of an experiment."""
    name = plan.experiments[wildcards.experiment].dataset
    return paths.dataset(name).as_posix()


def experiment_provenance(wildcards):
    """Where the data set of an experiment comes from."""
    return Path(experiment_dataset(wildcards)).with_suffix(".json").as_posix()


def own_npz(wildcards):
    """The user's file of a data set with source npz, if it exists: the script reports a missing one in one line."""
    folder, settings = plan.raw.get("data_dir", "data"), plan.raw["datasets"][wildcards.dataset]
    path = Path(folder) / settings.get("path", "")
    return [path.as_posix()] if path.is_file() else []


def own_folder(wildcards):
    """What tells whether something in the user's folder of a data set has changed: too many files to be inputs."""
    folder, settings = plan.raw.get("data_dir", "data"), plan.raw["datasets"][wildcards.dataset]
    files = (
        (Path(folder) / settings["path"]).rglob("*")
        if settings["source"] in ("folder", "idx")
        else []
    )
    return digest(
        *sorted(
            (f.as_posix(), f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file()
        )
    )


def pretrained_networks(wildcards):
    """The pretrained networks of an experiment, if it has any."""
    name = wildcards.experiment
    return out("pretrained", f"{name}.safetensors") if plan.experiments[name].pretrainings else []


def shard_networks(wildcards):
    """The networks of one shard."""
    experiment = plan.experiments[wildcards.experiment]
    return experiment.networks[int(wildcards.shard) :: experiment.shards]


def finished_shards(wildcards):
    """The files that say which shards of an experiment are trained; none if it is not divided."""
    name, count = wildcards.experiment, plan.experiments[wildcards.experiment].shards
    return [out("trained", "shards", f"{name}-{k}.txt") for k in range(count)] if count > 1 else []


def everything_behind(*experiments):
    """The tables of experiments, and every file that they are made from.

    Snakemake makes a missing file again only if a target asks for it. A failed job deletes its outputs, but the files made
    from its last success remain and look finished: a target that asks for these alone would not run the job again.
    """
    files = []
    for name in experiments:
        files += paths.experiment_files(plan.run, name)
        files += [out("tables", table, f"{name}.csv") for table in paths.ANALYSES]
        if name not in reused:
            files.append(out("trained", f"{name}.safetensors"))
            if plan.experiments[name].pretrainings:
                files.append(out("pretrained", f"{name}.safetensors"))
    stored = {paths.dataset(plan.experiments[name].dataset) for name in experiments}
    return files + [p.with_suffix(s).as_posix() for p in sorted(stored) for s in (".npz", ".json")]


def pictures(*figures):
    """The files of figures."""
    return [out("figures", name + end) for name in figures for end in (".png", ".pdf", ".svg")]


def figure_tables(*folder):
    """An input function: the tables in a folder of all experiments that a figure shows."""
    return lambda w: [out(*folder, f"{name}.csv") for name in plan.figure_experiments(w.figure)]
