# What is said at the start of a run and after it: how much there is to train, and where the results are.
import atexit
import time

from snakemake.settings.enums import Quietness

from puzzles.base.failures import failures
from puzzles.config.whole import Started, Whole
from puzzles.output.announcements import to_train, where

TRAINING = ("pretrain", "train", "train_shard")


def planned(jobs):
    """What these jobs are to do, for all who want to know how far the run is."""
    trained, others = {}, {}
    for job in sorted(jobs, key=lambda job: (job.rule.name not in TRAINING, job.rule.name)):
        if job.rule.name in TRAINING:
            stage = "pretrain" if job.rule.name == "pretrain" else "train"
            trained[stage, job.wildcards.experiment] = None
        elif job.benchmark and job.benchmark.startswith(benchmarks()):
            kind = Path(job.benchmark).relative_to(benchmarks()).parts[0]
            others.setdefault(kind, []).append(str(job.benchmark))
    order = list(plan.experiments)
    jobs = sorted(map(list, trained), key=lambda job: (order.index(job[1]), job[0]))
    return Started(time.time(), cores(), targets(), jobs, others, plan.raw)


def cores():
    """The cores that the jobs of this run share; None if they run elsewhere."""
    count, at_once = workflow.resource_settings.cores, workflow.resource_settings.nodes
    elsewhere = not workflow.local_exec or (at_once or 0) > (
        count or 0
    )  # a dry run knows no executor
    return None if elsewhere or count in (None, sys.maxsize) else count


def targets():
    """The names of the rules that were asked for."""
    return sorted(job.rule.name for job in workflow.dag.targetjobs)


def say(text):
    """Print for the user, beside what Snakemake prints, and not where output is for another program."""
    if text:
        print(text, file=sys.stderr, flush=True)


def is_quiet():
    """Whether the user wants to hear nothing."""
    return Quietness.ALL in (workflow.output_settings.quiet or ())


def started():
    """Keep what this process is to do, and say how much there is to train."""
    record = planned(workflow.dag.needrun_jobs())
    record.write(plan.run)
    if not is_quiet():
        say(to_train(Whole(plan, record), "cuda" if gpus("train") else "cpu"))


def ended():
    """The last lines: of a dry run what would train, of a run where the results are or what went wrong."""
    if workflow.scheduler is None or is_quiet():  # stopped by an error before anything was planned
        return
    if workflow.dryrun:
        record = planned(workflow.dag.jobs)
        say(to_train(Whole(plan, record), "cuda" if gpus("train") else "cpu", every=True))
    elif finished or not len(workflow.dag):
        say(where(plan, targets()))
    else:
        folders = [Path(logs()), paths.DATA / "logs"]
        say("\n".join(failures(folders, begun)))


begun = time.time()
finished = []  # something, once the run has succeeded
if workflow.is_main_process:
    atexit.register(ended)
