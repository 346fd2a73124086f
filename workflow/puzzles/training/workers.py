"""Worker processes of one training job. They are forked, to share the modules and data that are already loaded."""

import multiprocessing
import multiprocessing.connection
import os
import pickle
import signal
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess

from puzzles.base.errors import TrainingError

Send = Callable[[object], None]
Work = Callable[[Send], object]  # its result is ignored


@dataclass(frozen=True)
class Failure:
    """What a worker sends when it has failed."""

    error: BaseException


def run_workers(count: int, work: Work, handle: Send) -> None:
    """Run ``work`` in ``count`` processes until all have ended.

    When one fails, the others are stopped. When this process ends or is killed, they end too.

    Args:
        work: called in each process with a function that sends a value here.
        handle: called here with every value that was sent.

    Raises:
        TrainingError: a process was killed.
        Exception: whatever ``work`` has raised in a process.
    """
    context = multiprocessing.get_context("fork")
    running: dict[Connection, ForkProcess] = {}
    for _ in range(count):
        receiving, sending = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(work, sending), daemon=True)
        process.start()
        sending.close()  # only the worker can send now, so receiving ends when the worker does
        running[receiving] = process
    try:
        while running:
            for connection in multiprocessing.connection.wait(list(running)):
                assert isinstance(connection, Connection)  # we wait for no others
                _receive(connection, running, handle)
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.join()


def _receive(connection: Connection, running: dict[Connection, ForkProcess], handle: Send) -> None:
    try:
        value = connection.recv()
    except EOFError:
        process = running.pop(connection)
        process.join()
        if process.exitcode:
            how = signal.Signals(-process.exitcode).name if process.exitcode < 0 else f"exit status {process.exitcode}"
            hint = " (too little memory, most likely)" if process.exitcode == -signal.SIGKILL else ""
            raise TrainingError(
                f"a training process ended with {how}{hint}; run the same command again, it goes on from its checkpoints"
            ) from None
        return
    if isinstance(value, Failure):
        raise value.error
    handle(value)


def _work(work: Work, connection: Connection) -> None:
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which ends this process
    try:
        work(connection.send)
    except Exception as error:
        error.add_note("".join(traceback.format_exc()).rstrip())
        connection.send(Failure(_sendable(error)))


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _sendable(error: Exception) -> Exception:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # an exception class may need arguments that pickle does not keep
        return RuntimeError("".join(traceback.format_exception(error)))
    return error
