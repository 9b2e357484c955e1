"""The garbage collector of a process that serves: at rest while it starts, then looking at what came since.

A full collection walks through every imported module. While a process imports the product it would do so a dozen times
and find next to nothing: a third of the time that the import takes.
"""

import gc

_OBJECTS_BETWEEN_COLLECTIONS = 10_000


def rest_while_starting() -> None:
    """Collect nothing until `collect_from_now_on`."""
    gc.disable()


def collect_from_now_on() -> None:
    """Leave what is there alone for as long as the process lives, and collect what comes, less often than by default.

    Else a full collection would be a pause of more than a tenth of a second amid requests.
    """
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, 10, 10)
    gc.enable()
