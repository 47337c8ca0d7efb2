"""A command run by several processes: started again by torchrun, in the place of this one.

    python -m entrypoints.launch_torchrun TORCHRUN'S OPTIONS -m entrypoints.train_dino ...

It is torchrun, which ends as the process that failed first did, and leaves the talking to it.
"""

import logging
import os
import shlex
import sys

STARTED = "TORCHELASTIC_RUN_ID"  # torchrun sets it for those that it starts


def restart_with_torchrun(torchrun: str) -> None:
    """Become torchrun with these options of its own, which starts this very command.

    Does not return, unless nothing is asked for or this process is one that torchrun started.
    """
    if not torchrun or STARTED in os.environ:
        return
    command = sys.modules["__main__"].__spec__
    assert command is not None, "a command is started by python -m"
    sys.stdout.flush()
    launch = [sys.executable, "-m", "entrypoints.launch_torchrun", *shlex.split(torchrun)]
    os.execv(sys.executable, [*launch, "-m", command.name, *sys.argv[1:]])


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
            said = f"Process {rank + 1} of this training was killed (signal {-status})."
            print(said, file=sys.stderr, flush=True)
        sys.exit(status if status > 0 else 128 - status)
    except SignalException as error:
        sys.exit(128 + error.sigval)


if __name__ == "__main__":
    main()
