"""DynamoDB and S3 on one port: roto-server from the roto-aws wheel."""

import http.client
import subprocess
from importlib import metadata
from pathlib import Path
from typing import ClassVar

from carteira.embedded import process
from carteira.embedded.errors import BinaryMissing
from carteira.embedded.home import HOST
from carteira.embedded.server import Server

_PROBE_TIMEOUT_SECONDS = 1.0
_OK = 200


class AwsServer(Server):
    """roto-server with synced commits. It checks no signatures, so any credentials work; only loopback reaches it."""

    name: ClassVar[str] = "aws"
    title: ClassVar[str] = "DynamoDB e S3 (roto)"

    @property
    def url(self) -> str:
        """The endpoint for both services."""
        return f"http://{HOST}:{self.port}"

    @property
    def proof(self) -> str:
        """The data folder."""
        return str(self._home.folder / "aws")

    def prepare(self) -> None:
        """Make the data folder."""
        self._home.subfolder("aws")

    def launch(self, port: int) -> subprocess.Popen[bytes]:
        """Spawn on the data folder."""
        return process.spawn(
            [str(_program()), "--host", HOST, "--port", str(port), "--data-dir", self.proof, "--durable"],
            cwd=Path(self.proof),
            env=process.server_environment(),
            log=self.log,
        )

    def probe(self, port: int) -> str | None:
        """List the DynamoDB tables."""
        connection = http.client.HTTPConnection(HOST, port, timeout=_PROBE_TIMEOUT_SECONDS)
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": "DynamoDB_20120810.ListTables",
            "Authorization": "AWS4-HMAC-SHA256 Credential=probe/20260101/us-east-1/dynamodb/aws4_request, "
            "SignedHeaders=host, Signature=0",
        }
        try:
            connection.request("POST", "/", b"{}", headers)
            answer = connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            connection.close()
        return metadata.version("roto-aws") if answer.status == _OK else None


def _program() -> Path:
    try:
        files = metadata.files("roto-aws") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        if file.name == "roto-server":
            return Path(str(file.locate())).resolve()
    raise BinaryMissing("roto-aws")
