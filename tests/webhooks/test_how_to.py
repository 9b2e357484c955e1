"""The how-to's example verifies what the product sends, and nothing else."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.support.app import RunningApp
from tests.support.people import Person
from tests.support.receiver import Receiver
from tests.support.source import ROOT
from tests.support.webhooks import new_hook, open_account

PAGE = ROOT / "docs" / "how-to" / "receive-webhooks.md"


def example() -> Callable[[str, Mapping[str, str], bytes], bool]:
    (block,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(compile(block, str(PAGE), "exec"), names)  # noqa: S102 - our own documentation
    verified: Callable[[str, Mapping[str, str], bytes], bool] = names["verified"]
    return verified


async def test_the_example_verifies_sent_messages(app: RunningApp, operator: Person, receiver: Receiver) -> None:
    hook = await new_hook(operator, receiver.url, "benefits.account_opened")
    other = await new_hook(operator, receiver.url, "benefits.credited")
    await open_account(operator)
    await app.work_off()
    [request] = receiver.requests
    verified = example()
    assert verified(hook.secret, request.headers, request.body)
    assert not verified(other.secret, request.headers, request.body)
    assert not verified(hook.secret, request.headers, request.body.replace(b"w-", b"x-"))
    assert not verified(hook.secret, {**request.headers, "webhook-id": other.id}, request.body)
    assert not verified(hook.secret, {**request.headers, "webhook-timestamp": "1"}, request.body)
