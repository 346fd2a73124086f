"""What all scripts share: load the configuration, write a log, report errors that a user can fix in one line."""

import contextlib
import logging
import sys
import traceback
from collections.abc import Iterator

from puzzles.base.errors import PuzzleError
from puzzles.config.configuration import Config, load_config


@contextlib.contextmanager
def job(snakemake: object) -> Iterator[Config]:
    """Yield the configuration of a job. Its log goes to the rule's log file, warnings also to the terminal."""
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
    except Exception:
        logging.error(traceback.format_exc())
        sys.exit(1)
