"""The registry describes every event and its payload, and each event has a follower that acts on it."""

import re

from carteira.integration.credit_sources import CARD_MOVEMENTS
from carteira.modules import KIT_EMITS, REGISTRY
from carteira.notices import TOPICS
from carteira.webhooks import CATALOG, OF_TOPIC
from tests.support.source import SOURCE

EMITS = re.compile(r"outbox\.(emit|as_rows)\(")
BY_NAME = {entry.name: entry for entry in REGISTRY}


def test_every_event_is_followed_and_every_topic_that_is_followed_is_emitted() -> None:
    emitted = {topic: entry.name for entry in REGISTRY for topic in entry.emits}
    followed = {topic for entry in REGISTRY for topic in entry.follows}
    assert followed == {*emitted, *KIT_EMITS}
    assert all(topic.partition(".")[0] == name for topic, name in emitted.items())
    assert set(BY_NAME["notices"].follows) == set(TOPICS)
    assert set(BY_NAME["credit"].follows) == set(CARD_MOVEMENTS)


def test_webhooks_send_an_events_fields_and_nobodys_name() -> None:
    emitted = {topic: set(keys) for entry in REGISTRY for topic, keys in entry.emits.items()}
    for kind in OF_TOPIC.values():
        assert set(kind.data) <= emitted[kind.topic], kind.name
    told = {key for kind in CATALOG.values() for key in kind.data}
    assert not {"cpf", "name", "full_name", "email", "phone", "contact", "merchant"} & told


def test_every_topic_in_the_source_is_documented() -> None:
    """The module that emits a topic writes it out as text, once."""
    for name, emits in [("kit", KIT_EMITS), *((entry.name, entry.emits) for entry in REGISTRY)]:
        sources = [path for path in (SOURCE / name).rglob("*.py") if EMITS.search(path.read_text())]
        assert bool(sources) == bool(emits), name
        text = "\n".join(path.read_text() for path in sources)
        assert all(f'"{topic}"' in text for topic in emits), name
        assert set(re.findall(r'(?:emit|_tell)\(\s*tx,\s*"([a-z_.]+)"', text)) <= set(emits), name
