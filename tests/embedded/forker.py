"""A process that forks for its owner, started by the tests of forks: `forker.py DESCRIPTOR`."""

import json
import os
import signal
import socket
import sys
from pathlib import Path

from carteira.embedded.forks import fork_when_asked

if __name__ == "__main__":
    loaded = {"by": os.getpid()}
    how, file = fork_when_asked(socket.socket(fileno=int(sys.argv[1])))
    told = loaded | {
        "pid": os.getpid(),
        "group": os.getpgrp(),
        "environment": dict(os.environ),
        "handlers": [signal.getsignal(number) == signal.SIG_DFL for number in (signal.SIGCHLD, signal.SIGTERM)],
    }
    Path(f"{file}.new").write_text(json.dumps(told), encoding="utf-8")
    Path(f"{file}.new").rename(file)
    if how == "stay":
        signal.pause()
    sys.exit(int(how))
