"""The understanding of one server process: the model, the knowledge as of some version, and the ranker over both.

The ranker and the model (and numpy) are imported at first use, so that a server starts without them.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from carteira.assistant import knowledge
from carteira.assistant.knowledge import Topic
from carteira.kit.db.engine import Database
from carteira.kit.db.session import Tx
from carteira.kit.web.problems import EXPECTED, problem_of

if TYPE_CHECKING:
    from carteira.assistant.embedding import Encoder
    from carteira.assistant.ranker import Ranker

DOWN_SECONDS = 2.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TrainedModel:
    """The trained model of a version of the knowledge."""

    version: int
    topics: Mapping[str, Topic]
    ranker: "Ranker"


def label(topic: Topic) -> str:
    """Return a topic's label for the ranker; everything out of scope has one label."""
    from carteira.assistant.ranker import OUTSIDE  # noqa: PLC0415 - with the ranker

    return OUTSIDE if topic.kind == "outside" else topic.slug


def phrases(topics: Sequence[Topic]) -> list[tuple[str, str]]:
    """Return every phrase with its label; a question's title is one of its phrases."""
    return [
        (label(topic), phrase)
        for topic in topics
        for phrase in ([topic.title, *topic.phrases] if topic.title else topic.phrases)
    ]


@lru_cache(maxsize=2)
def train_ranker(known: tuple[tuple[str, str], ...], encoder: "Encoder | None", folder: Path | None = None) -> "Ranker":
    """Train a ranker on phrases; rankers are immutable, so one serves every application of the process.

    The result is stored in the folder, if one is named. Training runs in one thread, while the server goes on.
    """
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - with the ranker

    from carteira.assistant.matrix_store import MatrixStore  # noqa: PLC0415 - with the ranker
    from carteira.assistant.ranker import Ranker  # noqa: PLC0415 - with the ranker

    threadpool_limits(limits=1, user_api="blas")
    return Ranker(known, encoder, kept=MatrixStore(folder) if folder else None)


class ModelCache:
    """Holds the trained model, and trains a new one when the knowledge has changed.

    A change is noticed at the next message; the old model answers until the new one is trained.
    """

    def __init__(self, *, vectors: bool, folder: Path | None = None) -> None:
        """Make an untrained cache; results are stored in the folder, if one is named."""
        self._wants_vectors = vectors
        self._folder = folder
        self._model: TrainedModel | None = None
        self._making: tuple[int, asyncio.Task[TrainedModel]] | None = None

    @property
    def is_ready(self) -> bool:
        """Whether a model is ready."""
        return self._model is not None

    @property
    def has_vectors(self) -> bool:
        """Whether vectors rank, or only words."""
        return self._model is not None and self._model.ranker.encoder is not None

    async def ready(self, database: Database) -> None:
        """Wait until there is a model, without an open transaction, since connections are few."""
        if self._model is not None:
            return
        async with database.transaction() as tx:
            making = await self.prepare(tx)
        if making is not None:
            await asyncio.shield(making)

    async def model(self, tx: Tx) -> TrainedModel:
        """Return the model; wait for the first one if `ready` was not awaited."""
        making = await self.prepare(tx)
        if self._model is not None:
            return self._model
        assert making is not None, "a model exists or is being trained"
        return await asyncio.shield(making)

    async def prepare(self, tx: Tx) -> asyncio.Task[TrainedModel] | None:
        """Start training the present version in the background, if absent."""
        version = await knowledge.current_version(tx)
        if self._model is not None and self._model.version >= version:
            return None
        if not self._is_making(version):
            topics = await knowledge.load(tx)
            if not self._is_making(version):  # another message may have started it while these were loaded
                self._making = (version, asyncio.create_task(self._make(version, topics)))
        assert self._making is not None
        return self._making[1]

    def _is_making(self, version: int) -> bool:
        """Return whether this version or a later one is being trained; failed training is repeated."""
        return self._making is not None and self._making[0] >= version and not self._making[1].done()

    async def _make(self, version: int, topics: Sequence[Topic]) -> TrainedModel:
        ranker = await asyncio.to_thread(self._train, topics)
        made = TrainedModel(version, {topic.slug: topic for topic in topics}, ranker)
        if self._model is None or self._model.version < version:
            self._model = made
        return made

    def _train(self, topics: Sequence[Topic]) -> "Ranker":
        return train_ranker(tuple(phrases(topics)), self._encoder(), self._folder)

    def _encoder(self) -> "Encoder | None":
        """Return the encoder, if it is configured and available; any failure leaves words alone."""
        if not self._wants_vectors:
            return None
        from carteira.assistant import embedding  # noqa: PLC0415 - with the model

        try:
            return embedding.encoder()
        except (ImportError, OSError, ValueError) as error:
            log.warning("no sentence encoder, words alone used", error=type(error).__name__)
            self._wants_vectors = False
            return None

    async def warm_up(self, database: Database) -> None:
        """Load everything before the first message; retry while the database is down."""
        while self._model is None:
            try:
                await self.ready(database)
            except EXPECTED as error:
                log.warning("assistant not ready", error=problem_of(error).code)
                await asyncio.sleep(DOWN_SECONDS)
        log.info("assistant ready", topics=len(self._model.topics), vectors=self.has_vectors)
