"""A finished or published run as a Workflow Run RO-Crate: a zip file with what was run, on what, and what came out.

python -m puzzles.output.crate demo
"""

import argparse
import json
import sys
from pathlib import Path

from rocrate.model.contextentity import ContextEntity
from rocrate.rocrate import ROCrate

from puzzles.base import paths
from puzzles.base.errors import PuzzleError, ResultsError
from puzzles.output.provenance import commit

PROFILES = {  # what the crate conforms to
    "https://w3id.org/ro/wfrun/process/0.5": "Process Run Crate",
    "https://w3id.org/ro/wfrun/workflow/0.5": "Workflow Run Crate",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0": "Workflow RO-Crate",
}
RECORDS = ("config.yaml", "specs.json", "provenance.json", "checksums.txt")
RESULTS = ("tables", "measurements", "families", "rescaled", "histograms", "history", "correct", "figures")


def write_crate(run: str) -> Path:
    """Write ``results/<run>-crate.zip`` of a finished run, or else of the published one.

    It holds the workflow, the resolved configuration, tables and figures. The data sets are described by their checksums and
    do not travel along. https://www.researchobject.org/workflow-run-crate

    Raises:
        ResultsError: there is no such run, or it is not finished.
    """
    folder = next((f for f in (paths.RESULTS / run, paths.REFERENCE / run) if (f / "provenance.json").is_file()), None)
    if folder is None:
        raise ResultsError(f"{paths.RESULTS / run}: found no finished run, expected one (make status RUN={run})")
    provenance = json.loads((folder / "provenance.json").read_text())
    crate = ROCrate(version="1.1")  # what these profiles extend
    crate.name = f"The run {run} of generalization-puzzles"
    crate.description = "Figures of 'Generalization Puzzles in Deep Networks', reproduced, with tables and verdicts."
    crate.license = "https://spdx.org/licenses/MIT"
    crate.root_dataset["conformsTo"] = [
        crate.add(ContextEntity(crate, at, {"@type": "CreativeWork", "name": name, "version": at.rpartition("/")[2]}))
        for at, name in PROFILES.items()
    ]
    workflow = crate.add_workflow(paths.WORKFLOW / "Snakefile", "workflow/Snakefile", main=True, lang="snakemake")
    workflow["version"] = commit()
    for part in sorted(p for p in paths.WORKFLOW.rglob("*") if p.suffix in (".smk", ".py", ".yaml", ".j2")):
        crate.add_file(part, part.relative_to(paths.WORKFLOW.parent).as_posix())
    inputs = [_described(crate, d) for d in provenance["datasets"]]
    files = [folder / name for name in RECORDS if (folder / name).is_file()]
    files += sorted(f for name in RESULTS for f in (folder / name).rglob("[!.]*") if f.is_file())
    added = {f.relative_to(folder).as_posix(): crate.add_file(f, f"run/{f.relative_to(folder).as_posix()}") for f in files}
    inputs.append(added.pop("config.yaml"))
    machine = f"{provenance['cores']} cores of {provenance['processor']}, GPU: {provenance['gpu']}"
    action = {
        "@type": "CreateAction",
        "name": f"snakemake, run {run}",
        "instrument": workflow,
        "object": inputs,
        "result": list(added.values()),
        "endTime": provenance["time"].replace(" UTC", "Z").replace(" ", "T"),
        "description": f"At commit {provenance['commit']}, on {machine}",
        "actionStatus": {"@id": "http://schema.org/CompletedActionStatus"},
    }
    crate.root_dataset["mentions"] = [crate.add(ContextEntity(crate, f"#run-{run}", action))]
    target = paths.RESULTS / f"{run}-crate.zip"
    target.parent.mkdir(exist_ok=True)
    crate.write_zip(target)
    return target


def _described(crate: ROCrate, dataset: dict) -> ContextEntity:
    """A data set that does not travel along: its origin, sizes and checksums."""
    sizes = {split: dataset[split]["examples"] for split in ("train", "test")}
    about = {
        "@type": "Dataset",
        "name": dataset["name"],
        "description": f"{dataset['data']} ({dataset['origin']}): {sizes['train']} training, {sizes['test']} test examples",
        "identifier": [f"sha256:{dataset[split]['sha256']}" for split in sizes],
    }
    return crate.add(ContextEntity(crate, f"#data-{dataset['name']}", about))


def main(arguments: list[str] | None = None) -> None:
    """The command line above."""
    parser = argparse.ArgumentParser(prog="python -m puzzles.output.crate", description="Write a run as an RO-Crate.")
    parser.add_argument("run")
    try:
        print(write_crate(parser.parse_args(arguments).run))
    except (PuzzleError, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
