"""Runs one command as a child that dies with its parent; started as a file by ``process.spawn``, never imported.

It is a program of its own, since a ``preexec_fn`` is unsafe (and warned about) in a process with threads.
Usage: ``python -I -S launch.py PARENT_PID DEATH_SIGNAL RUN_AS CWD LIFE COMMAND…``; LIFE is the end of a pipe whose
other end closes as the parent dies, or empty where the kernel has a death signal (Linux).
"""

import ctypes
import os
import select
import signal
import sys
from pathlib import Path

_NOBODY = 65534
_CLONE_NEWUSER = 0x10000000
_PR_SET_PDEATHSIG = 1


def _check(result: int, what: str) -> None:
    if result:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def _enter_user_namespace(libc: ctypes.CDLL) -> None:
    """Map this process to uid 65534 in a user namespace, in which it still owns root's files."""
    _check(libc.unshare(_CLONE_NEWUSER), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{_NOBODY} 0 1"), ("gid_map", f"{_NOBODY} 0 1")):
        Path(f"/proc/self/{name}").write_text(text, encoding="ascii")


def _become_nobody() -> None:
    os.setgroups([])
    os.setgid(_NOBODY)
    os.setuid(_NOBODY)


def _watch_parent(life: int, death_signal: int) -> None:
    """Leave a process behind that signals the command when the parent has died, and ends with the command.

    That process is not the command's child, since some programs do not expect children that they did not start.
    """
    command = os.getpid()
    ours, theirs = os.pipe()
    os.set_inheritable(theirs, True)
    if os.fork() == 0:
        if os.fork() == 0:
            os.close(theirs)
            null = os.open(os.devnull, os.O_RDWR)
            for standard in (0, 1, 2):
                os.dup2(null, standard)
            closed, _, _ = select.select([life, ours], [], [])
            if ours not in closed:
                os.kill(command, death_signal)
        os._exit(0)
    os.wait()
    os.close(life)
    os.close(ours)


def main(arguments: list[str]) -> None:
    """Change the user, bind the command's life to its parent's, then execute the command."""
    parent_pid, death_signal, run_as, cwd, life, *command = arguments
    libc = ctypes.CDLL(None, use_errno=True)
    if run_as == "namespace":
        _enter_user_namespace(libc)
    elif run_as == "nobody":
        _become_nobody()
    if cwd:
        os.chdir(cwd)
    # Only now: a change of credentials clears the death signal.
    if life:
        _watch_parent(int(life), int(death_signal))
    else:
        _check(libc.prctl(_PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0), "prctl")
    if os.getppid() != int(parent_pid):
        sys.exit("launch: the parent died first")
    # Ignored signals and masks survive exec: hand over the defaults, whatever the shell or Python had set.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.execv(command[0], command)  # noqa: S606 - no shell is what we want


if __name__ == "__main__":
    main(sys.argv[1:])
