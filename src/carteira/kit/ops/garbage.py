"""The garbage collector of a serving process: off during the start, then limited to newer objects.

A full collection walks through every imported module. During the import of the product it would run a dozen times, find
almost nothing, and take a third of the time.
"""

import gc

_OBJECTS_BETWEEN_COLLECTIONS = 10_000


def rest_while_starting() -> None:
    """Turn collection off until `collect_from_now_on`."""
    gc.disable()


def freeze() -> None:
    """Exempt the present objects from collection, so that forked processes go on sharing their memory."""
    gc.freeze()


def collect_from_now_on() -> None:
    """Freeze the present objects and collect newer ones, less often than by default.

    Otherwise a full collection would pause requests for more than 0.1 s.
    """
    gc.freeze()
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS, 10, 10)
    gc.enable()
