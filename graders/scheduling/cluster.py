"""Submissions side by side on Dask workers: processes of this machine, or those of a cluster that is there already.

Dask's own messages are pickled, so whoever can speak to a scheduler can run code on its workers: every connection, also
here on the loopback, is TLS with certificates on both sides. What we hand over in them is JSON both ways.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Final

import dask
from distributed import Client, Future, LocalCluster, Security, as_completed
from distributed.scheduler import KilledWorker

from environments.errors import BadInputError, CourseError, FootprintError
from environments.labspec import LabSpec
from graders.grading import Graded, Task, not_graded
from graders.scheduling.pace import Pace
from graders.scheduling.posting import FOOTPRINT, Posting, Scheduler
from graders.scheduling.worker import Answer, Fault, GradingPlugin, condition, grade_task

CONNECT_SECONDS: Final = 30
DEATHS: Final = 1  # how often a worker may die of one submission before it is left; the next could be its fault
PER_WORKER: Final = 2  # one that is graded and one that waits for it
# A worker holds no data of ours worth saving, and the cage limits memory.
HERE: Final = {
    "distributed.scheduler.allowed-failures": DEATHS,
    "distributed.worker.memory.terminate": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.target": False,
    "distributed.admin.tick.limit": "1h",  # checks that wait for servers are no reason for a warning
    "distributed.comm.timeouts.connect": f"{CONNECT_SECONDS}s",
    # Dask opens ports for pages about itself, without certificates; nothing is to be read there.
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}


def side_by_side(
    posting: Posting, spec: LabSpec, tasks: Sequence[Task], pace: Pace, where: int | Scheduler, scratch: Path
) -> Iterator[Graded]:
    """What was graded, as it is done; it ends early when the batch's time is up.

    Args:
        posting: What every worker is told.
        spec: The lab.
        tasks: Submissions; workers see the same files under the same paths.
        pace: How far the batch is.
        where: How many workers to start here, or the scheduler to ask.
        scratch: An empty folder for files of workers here.

    Raises:
        BadInputError: the scheduler is not there, or has no worker with a footprint.
        CageError: the cage of a worker does not hold.
        FootprintError: no footprint could be started, or all workers have gone.
    """
    if pace.over:
        return
    with ExitStack() as stack:
        if isinstance(where, Scheduler):
            client = stack.enter_context(_asked(where))
        else:
            pace.tell(f"starting {where} workers")
            client = stack.enter_context(_started(min(where, len(tasks)), scratch))
        name = stack.enter_context(_rooms(client, posting, bound=not isinstance(where, Scheduler)))
        pace.tell(f"{_workers(client)} workers are ready for {len(tasks)} submissions")
        pace.begin()
        yield from _grade(client, name, spec, tasks, pace)


def _grade(client: Client, name: str, spec: LabSpec, tasks: Sequence[Task], pace: Pace) -> Iterator[Graded]:
    left = iter(tasks)
    running: dict[Any, Task] = {}  # by a future's key

    def post(number: int) -> list[Future[str]]:
        chosen = [] if pace.over else list(islice(left, number))
        futures = [
            client.submit(
                grade_task,
                name,
                task.model_dump_json(),
                pure=False,
                resources={FOOTPRINT: 1},
                allow_other_workers=False,
            )
            for task in chosen
        ]
        running.update({future.key: task for future, task in zip(futures, chosen, strict=True)})
        return futures

    done = as_completed(post(PER_WORKER * _workers(client)), loop=client.loop)
    for future in done:
        task = running.pop(future.key)
        graded = _outcome(future, spec, task)
        done.update(post(1))
        yield graded
        pace.counted(task.learner)  # only now it is kept, too


def _outcome(future: Future[str], spec: LabSpec, task: Task) -> Graded:
    if future.status == "cancelled":
        raise _gone()
    error = future.exception()
    if isinstance(error, KilledWorker):
        return not_graded(spec, task, "The worker that graded it died, and so did the next.")
    if error is not None:
        logging.getLogger(__name__).error("%s: %r", task.learner, error)
        return not_graded(spec, task, f"The worker that graded it failed ({type(error).__name__}).")
    answer = Answer.model_validate_json(future.result())
    if answer.graded is None:
        raise _error(answer.fault)
    graded = answer.graded.graded()
    if (graded.result.learner, graded.result.sha256) != (task.learner, task.sha256):
        return not_graded(spec, task, "The worker gave the result of another submission.")
    return graded


@contextmanager
def _started(workers: int, scratch: Path) -> Iterator[Client]:
    """Workers of our own, for as long as the context lasts."""
    with (
        dask.config.set(HERE),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            protocol="tls",
            security=Security.temporary(),
            resources={FOOTPRINT: 1},
            dashboard_address="127.0.0.1:0",
            memory_limit=None,
            silence_logs=logging.CRITICAL,
            local_directory=str(scratch),
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        yield client


@contextmanager
def _asked(scheduler: Scheduler) -> Iterator[Client]:
    """A scheduler that runs already."""
    security = Security(
        require_encryption=True,
        tls_ca_file=str(scheduler.ca),
        tls_client_cert=str(scheduler.cert),
        tls_client_key=str(scheduler.key),
    )
    try:
        client = Client(scheduler.address, security=security, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise BadInputError(
            f"The scheduler at {scheduler.address} does not answer to these certificates: {error}.",
            hint="Is it running, and are its certificates of the same authority?",
        ) from None
    with client:
        yield client


@contextmanager
def _rooms(client: Client, posting: Posting, *, bound: bool) -> Iterator[str]:
    """A room on every worker that has a footprint to give, also on those that join later; gives the plugin's name."""
    if not _workers(client):
        raise BadInputError(
            "The scheduler has no worker with a footprint.", hint=f"Start workers with: --resources {FOOTPRINT}=1"
        )
    name = f"mod209-{secrets.token_hex(4)}"
    client.register_plugin(GradingPlugin(name, posting.model_dump_json(), bound=bound))
    try:
        for text in client.run(condition, name).values():
            if fault := Answer.model_validate_json(text).fault:
                raise _error(fault)
        yield name
    finally:
        if client.status == "running":
            client.unregister_worker_plugin(name)


def _workers(client: Client) -> int:
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    return sum(1 for worker in workers if worker.get("resources", {}).get(FOOTPRINT))


def _error(fault: Fault | None) -> CourseError:
    """The error that a worker told of, as one of our own."""
    if fault is None:
        return FootprintError("A worker gave no answer.", hint="Run the same command again.")
    kinds = {kind.exit_code: kind for kind in CourseError.__subclasses__()}
    return kinds.get(fault.exit_code, CourseError)(fault.message, hint=fault.hint)


def _gone() -> FootprintError:
    return FootprintError(
        "The scheduler or all of its workers have gone.", hint="Run the same command again: it carries on."
    )
