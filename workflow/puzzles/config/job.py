"""What all scripts share: load the configuration, write a log, report errors that a user can fix in one line."""

import contextlib
import logging
import sys
import traceback
from collections.abc import Iterator, Sequence
from typing import Protocol

from puzzles.base.errors import PuzzleError
from puzzles.config.configuration import Config, load_config


class Job(Protocol):
    """The parts used here of the object ``snakemake`` that Snakemake gives to each script."""

    log: Sequence[str]
    config: dict


@contextlib.contextmanager
def job(snakemake: Job) -> Iterator[Config]:
    """Yield the configuration of a job. Its log goes to the rule's log file, warnings also to the terminal."""
    logging.raiseExceptions = False  # a log that cannot be written must not hide why
    to_file = logging.FileHandler(snakemake.log[0], mode="w")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    to_terminal = logging.StreamHandler(sys.stderr)
    to_terminal.setLevel(logging.WARNING)
    to_terminal.setFormatter(logging.Formatter("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[to_file, to_terminal], force=True)
    for chatty in ("matplotlib", "fontTools"):
        logging.getLogger(chatty).setLevel(logging.ERROR)
    try:
        yield load_config(snakemake.config)
    except PuzzleError as error:
        logging.error(str(error))
        sys.exit(1)
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and "allocate memory" not in str(error):
            logging.error(traceback.format_exc())
        else:
            logging.error(
                "too little memory for this job; give it more (resources: mem_mb), or train fewer at once (--cores)"
            )
        sys.exit(1)
    except Exception:
        logging.error(traceback.format_exc())
        sys.exit(1)
