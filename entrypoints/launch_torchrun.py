"""Runs a command as several processes: torchrun starts it again, in place of this process.

    python -m entrypoints.launch_torchrun TORCHRUN_OPTIONS -m entrypoints.train_dino ...

This is torchrun with the exit status of the process that failed first, whose message stands alone.
"""

import logging
import os
import shlex
import sys

STARTED_BY_TORCHRUN = "TORCHELASTIC_RUN_ID"  # an environment variable


def restart_with_torchrun(torchrun: str) -> None:
    """Replace this process with torchrun, which starts the same command in several processes.

    Returns only where no options are given or where torchrun started this process.
    """
    if not torchrun or STARTED_BY_TORCHRUN in os.environ:
        return
    command = sys.modules["__main__"].__spec__
    module = command.name if command else "entrypoints.cli"  # a console script has no spec
    sys.stdout.flush()
    launch = [sys.executable, "-m", "entrypoints.launch_torchrun", *shlex.split(torchrun)]
    os.execv(sys.executable, [*launch, "-m", module, *sys.argv[1:]])


def main() -> None:
    """Run torchrun."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    try:
        run.main(sys.argv[1:])
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        status = failure.exitcode
        if status < 0:
            message = f"Process {rank + 1} of this training was killed (signal {-status})."
            print(message, file=sys.stderr, flush=True)
        sys.exit(status if status > 0 else 128 - status)
    except SignalException as error:
        sys.exit(128 + error.sigval)


if __name__ == "__main__":
    main()
