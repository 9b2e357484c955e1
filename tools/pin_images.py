"""`make pin-images`: write the digests of images beside their versions, so that a tag that moves changes nothing.

Each `image:tag`, with a digest or without, is looked up at its registry, as `docker pull` does: the
manifest of all platforms. Nothing is written unless each registry answered.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[1]
FILES = ("Dockerfile", "compose.yaml")
NAMED = re.compile(
    r"(?P<host>[a-z0-9][a-z0-9.-]*\.[a-z]+|localhost:\d+)/(?P<name>[a-z0-9._/-]+):(?P<tag>[\w.-]+)"
    r"(@sha256:[0-9a-f]{64})?"
)
_MANIFESTS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_HOSTS = {"docker.io": "registry-1.docker.io"}
_SECONDS = 30


def digest_of(host: str, name: str, tag: str) -> str:
    """Return a registry's digest of a tag, with an anonymous token.

    Raises:
        httpx.HTTPError: it does not answer, or has none.
    """
    scheme = "http" if host.startswith("localhost:") else "https"
    url = f"{scheme}://{_HOSTS.get(host, host)}/v2/{name}/manifests/{tag}"
    headers = {"Accept": ", ".join(_MANIFESTS)}
    with httpx.Client(timeout=_SECONDS, follow_redirects=True) as client:
        answer = client.head(url, headers=headers)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            token = _token(client, answer.headers.get("www-authenticate", ""))
            answer = client.head(url, headers=headers | {"Authorization": f"Bearer {token}"})
        answer.raise_for_status()
        digest: str = answer.headers["docker-content-digest"]
        return digest


def _token(client: httpx.Client, challenge: str) -> str:
    """Ask for the token that a registry's challenge names."""
    parts = dict(re.findall(r'(\w+)="([^"]*)"', challenge))
    answer = client.get(parts.pop("realm"), params=parts)
    answer.raise_for_status()
    body = answer.json()
    return str(body.get("token") or body["access_token"])


def pinned(text: str, ask: Callable[[str, str, str], str]) -> str:
    """Return a text with the digest of each image that it names."""

    def one(found: re.Match[str]) -> str:
        host, name, tag = found["host"], found["name"], found["tag"]
        return f"{host}/{name}:{tag}@{ask(host, name, tag)}"

    return NAMED.sub(one, text)


def main() -> int:
    """Pin them all; return 1 if a registry did not answer."""
    try:
        texts = {name: pinned((ROOT / name).read_text(), digest_of) for name in FILES}
    except (httpx.HTTPError, KeyError, ValueError) as error:
        sys.stderr.write(f"Nothing was written: {type(error).__name__} {error}\n")
        return 1
    for name, text in texts.items():
        (ROOT / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
