"""Who thins out the partitions: this process, processes of this machine, or a Dask cluster that is there already."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any, NamedTuple

from infra.backfill.partitions import BackfillError, Task, Thinned, thin_out

CONNECT_SECONDS = 10
IN_FLIGHT = 3
"""Tasks handed out per worker: one at work, the others at hand."""


class Engine(NamedTuple):
    """Something that works on tasks."""

    executor: Executor
    workers: int
    name: str


@contextmanager
def engine(workers: int, cluster: str | None) -> Iterator[Engine]:
    """The one that was asked for. Raises BackfillError."""
    if cluster is not None:
        with _dask(cluster) as found:
            yield found
    elif workers > 1:
        with _pool(workers) as found:
            yield found
    else:
        yield Engine(_Here(), 1, "this process")


def work(by: Engine, tasks: Iterable[Task]) -> Iterator[tuple[Task, Thinned]]:
    """Each task with its answer, as they are done. Raises BackfillError."""
    waiting: dict[Future[Thinned], Task] = {}
    left = iter(tasks)
    try:
        while True:
            while len(waiting) < by.workers * IN_FLIGHT and (task := next(left, None)) is not None:
                waiting[by.executor.submit(thin_out, task)] = task
                if isinstance(by.executor, _Here):
                    break
            if not waiting:
                return
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                yield waiting.pop(future), _answer(future)
    finally:
        for future in waiting:
            future.cancel()


def _answer(future: Future[Thinned]) -> Thinned:
    try:
        return future.result()
    except BackfillError:
        raise
    except BrokenProcessPool:
        raise BackfillError(
            "a worker process was ended, perhaps for want of memory: run the same command again, with fewer --workers; "
            "it goes on from here"
        ) from None
    except ModuleNotFoundError as error:
        raise BackfillError(f"the workers have no {error.name}: install the same Lineside there") from None
    except Exception as error:
        raise BackfillError(f"a worker failed with {type(error).__name__}: {error}") from error


class _Here(Executor):
    """Works at once, in this thread."""

    def submit(self, call: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        """See `concurrent.futures.Executor`."""
        future: Future[Any] = Future()
        try:
            future.set_result(call(*args, **named))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def _pool(workers: int) -> Iterator[Engine]:
    threads = os.environ.get("POLARS_MAX_THREADS")
    # Workers share the cores; polars in each would take them all. They read it when they start.
    os.environ["POLARS_MAX_THREADS"] = threads or str(max(1, (os.cpu_count() or 1) // workers))
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield Engine(pool, workers, f"{workers} processes")
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        if threads is None:
            del os.environ["POLARS_MAX_THREADS"]


@contextmanager
def _dask(address: str) -> Iterator[Engine]:
    try:
        from distributed import Client
    except ModuleNotFoundError:
        raise BackfillError(
            "Dask is not installed: pip install 'lineside[dask]', or leave --cluster out and use --workers"
        ) from None
    try:
        client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:  # a timeout is an OSError
        raise BackfillError(
            f"there is no Dask scheduler at {address} ({type(error).__name__}): start one with `dask scheduler`, or give "
            "its address as tcp://host:8786"
        ) from None
    try:
        try:
            client.wait_for_workers(1, timeout=CONNECT_SECONDS)
        except OSError:
            raise BackfillError(
                f"the Dask cluster at {address} has no workers: start one with `dask worker {address}`"
            ) from None
        threads = sum(client.nthreads().values())
        with client.get_executor(pure=False) as executor:
            yield Engine(executor, threads, f"Dask at {address}, {threads} threads")
    finally:
        client.close()
