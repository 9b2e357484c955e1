"""Metrics of the assistant."""

from prometheus_client import Counter

messages = Counter("carteira_assistant_messages", "Messages by where the conversation then stood", ["intent"])
intents = Counter("carteira_assistant_intents", "Intents begun", ["intent"])
answers = Counter("carteira_assistant_answers", "Questions by whether they were answered", ["result"])
