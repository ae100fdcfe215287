"""Examining blocks in several processes: the only module that starts any.

Every process has its own copy of the registry, which grows by what the jobs say. Jobs come back in the order
in which they went out, and a bounded number of them is out at once.
"""

import signal
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import chain, islice
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from pipeline.identity.registry import Registry
from pipeline.log.tiles import ReadFile
from pipeline.verify.entries import Job
from pipeline.verify.examine import BlockTask, Examined, Examiner, RegistryUpdate
from pipeline.wire.errors import PipelineError, UnavailableError

BATCH_LEAVES = 1024  # So many statements are worth a message.
BATCHES_MIN = 4  # Fewer are examined sooner than a process starts.
BATCHES_PER_PROCESS = 3  # One at work, and some that wait for an earlier one to come back.

_Request = tuple[list[RegistryUpdate], list[BlockTask]]
_Answer = list[Examined] | PipelineError


@dataclass(slots=True)
class _Batch:
    """Consecutive jobs; those with a task are examined by one process."""

    jobs: list[Job] = field(default_factory=list[Job])
    tasks: int = 0
    leaves: int = 0
    updates: int = 0  # How many registry updates stand before it.
    answer: _Answer | None = None


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    connection: Connection
    updates: int = 0  # How many it has been told.
    batch: _Batch | None = None


class ExaminingProcesses:
    """Examines jobs (an `entries.ExamineJobs`) in processes that live as long as one call.

    Args:
        read: The log's files; a copy of it goes to every process.
        processes: How many.
    """

    def __init__(self, read: ReadFile, processes: int) -> None:
        self._read = read
        self._processes = processes

    def __call__(self, jobs: Iterable[Job]) -> Iterator[Job]:
        """Yield the jobs in their order, each examined.

        Raises:
            UnavailableError: The files do not answer, or a process was ended from outside.
        """
        updates: list[RegistryUpdate] = []
        batches = _batches(jobs, updates)
        first = list(islice(batches, BATCHES_MIN))
        if len(first) < BATCHES_MIN:
            yield from _examine_here(self._read, first)
            return
        with ExitStack() as stack:
            workers = [self._start(stack) for _ in range(self._processes)]
            out: deque[_Batch] = deque()
            for batch in chain(first, batches):
                out.append(batch)
                _assign(out, workers, updates)
                while len(out) > BATCHES_PER_PROCESS * len(workers) and out[0].answer is None:
                    _collect(out, workers, updates)
                while out and out[0].answer is not None:
                    yield from _answered(out.popleft())
            while out:
                while out[0].answer is None:
                    _collect(out, workers, updates)
                yield from _answered(out.popleft())

    def _start(self, stack: ExitStack) -> _Worker:
        # A new interpreter: a fork would take threads' locks along.
        context = get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(self._read, theirs), daemon=True)
        process.start()
        theirs.close()
        stack.callback(process.join)
        stack.callback(process.terminate)
        stack.enter_context(closing(ours))
        assert isinstance(ours, Connection), "what a pipe's ends are, but on Windows"
        return _Worker(process, ours)


def _batches(jobs: Iterable[Job], updates: list[RegistryUpdate]) -> Iterator[_Batch]:
    """Yield jobs in batches that are worth a message each, and collect what they add to the registry."""
    batch = _Batch()
    for job in jobs:
        if max(batch.leaves, len(batch.jobs)) >= BATCH_LEAVES or (job.update is not None and batch.tasks):
            yield batch
            batch = _Batch(updates=len(updates))
        if job.update is not None:
            updates.append(job.update)
            batch.updates = len(updates)
        if job.task is not None:
            batch.tasks += 1
            batch.leaves += job.task.block.size
        batch.jobs.append(job)
    yield batch


def _examine_here(read: ReadFile, batches: Iterable[_Batch]) -> Iterator[Job]:
    examiner = Examiner(read, Registry())
    for job in chain.from_iterable(batch.jobs for batch in batches):
        if job.update is not None:
            examiner.update(job.update)
        if job.task is not None:
            job.examined = examiner.examine(job.task)
        yield job


def _assign(out: Iterable[_Batch], workers: Iterable[_Worker], updates: list[RegistryUpdate]) -> None:
    """Give the next batches to idle workers."""
    taken = {id(worker.batch) for worker in workers}
    waiting = (batch for batch in out if batch.answer is None and id(batch) not in taken)
    idle = [worker for worker in workers if worker.batch is None]
    for worker, batch in zip(idle, waiting, strict=False):
        if not batch.tasks:
            batch.answer = []
            continue
        news = updates[worker.updates : batch.updates]
        tasks = [job.task for job in batch.jobs if job.task is not None]
        worker.batch, worker.updates = batch, max(worker.updates, batch.updates)
        # It reads until it has it: it has nothing to say before.
        worker.connection.send((news, tasks))


def _collect(out: Iterable[_Batch], workers: list[_Worker], updates: list[RegistryUpdate]) -> None:
    """Wait for an answer, and give whoever gave it more to do."""
    busy = {worker.connection: worker for worker in workers if worker.batch is not None}
    for ready in wait(list(busy)) if busy else []:
        assert isinstance(ready, Connection), "only connections were waited for"
        worker = busy[ready]
        assert worker.batch is not None, "only busy ones were waited for"
        try:
            worker.batch.answer = ready.recv()
        except EOFError as error:
            raise UnavailableError("a process that examines blocks", "it has ended") from error
        worker.batch = None
    _assign(out, workers, updates)


def _answered(batch: _Batch) -> Iterator[Job]:
    if isinstance(batch.answer, PipelineError):
        raise batch.answer
    assert batch.answer is not None, "a batch is yielded once it is answered"
    examined = iter(batch.answer)
    for job in batch.jobs:
        if job.task is not None:
            job.examined = next(examined)
        yield job


def _work(read: ReadFile, connection: Connection) -> None:
    """Examine what comes until nobody is left to ask."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the asker's business.
    examiner = Examiner(read, Registry())
    while True:
        try:
            request: _Request = connection.recv()
        except EOFError:
            return
        updates, tasks = request
        for update in updates:
            examiner.update(update)
        answer: _Answer
        try:
            answer = [examiner.examine(task) for task in tasks]
        except PipelineError as error:
            answer = error
        connection.send(answer)
