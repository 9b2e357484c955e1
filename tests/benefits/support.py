"""What the tests of benefits share: an operator's hands, the processor's token, a purchase."""

import json
import time
from typing import Any
from uuid import UUID, uuid4

import httpx
from joserfc import jwt
from joserfc.jwk import OctKey

AUTHORIZER = "/transactions/authorizer"
FOOD, MEAL, OTHER = "5411", "5811", "5999"


def processor_token(key: OctKey, *, algorithm: str = "HS256", **claims: object) -> str:
    content = {"exp": int(time.time()) + 600} | claims
    return jwt.encode({"alg": algorithm}, content, key, algorithms=[algorithm])


def purchase(account: str, reais: str = "10.00", mcc: str = OTHER, **more: object) -> bytes:
    """Write a request by hand, so that the amount's text is exactly what a test says."""
    fields = {"account": account, "mcc": mcc, "merchant": "LOJA DA MARIA   SAO PAULO BR"} | more
    return (json.dumps(fields)[:-1] + f', "totalAmount": {reais}}}').encode()


class Operator:
    """Opens accounts and looks at them, over HTTP."""

    def __init__(self, client: httpx.AsyncClient, token: str) -> None:
        self.client = client
        self.headers = {"Authorization": f"Bearer {token}"}

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:  # noqa: ANN401 - httpx's own
        headers = self.headers | more.pop("headers", {})
        return await self.client.request(method, path, headers=headers, **more)

    async def open_account(self, *, user_id: UUID | None = None, **balances: int) -> str:
        reference = f"t-{uuid4()}"
        response = await self.call(
            "POST",
            "/benefits/accounts",
            json={"account": reference, "user_id": str(user_id or uuid4()), "balances": balances},
        )
        assert response.status_code == 201, response.text
        return reference

    async def balances(self, account: str) -> dict[str, int]:
        response = await self.call("GET", f"/benefits/accounts/{account}")
        assert response.status_code == 200, response.text
        balances: dict[str, int] = response.json()["balances"]
        return balances
