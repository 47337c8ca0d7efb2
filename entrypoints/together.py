"""A command run by several processes: started again by torchrun, in the place of this one."""

import os
import shlex
import sys

STARTED = "TORCHELASTIC_RUN_ID"  # torchrun sets it for those that it starts


def start_again(torchrun: str) -> None:
    """Become torchrun with these options of its own, which starts this very command.

    Does not return, unless nothing is asked for or this process is one that torchrun started.
    """
    if not torchrun or STARTED in os.environ:
        return
    command = sys.modules["__main__"].__spec__
    assert command is not None, "a command is started by python -m"
    launch = [sys.executable, "-m", "torch.distributed.run", *shlex.split(torchrun)]
    sys.stdout.flush()
    os.execv(sys.executable, [*launch, "-m", command.name, *sys.argv[1:]])
