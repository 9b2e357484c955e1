"""The reports of an object store's errors."""

import errno
import os

import pytest
from structlog.testing import capture_logs

from carteira.kit.outbound.objects import ObjectsDown, guarded


async def test_the_systems_error_is_reported_without_a_files_name() -> None:
    async def fail() -> None:
        raise OSError(f"Generic LocalFileSystem error: Unable to copy /srv/ana.pdf: whatever (os error {errno.ENOSPC})")

    with capture_logs() as lines, pytest.raises(ObjectsDown):
        await guarded("put", fail())
    assert [line["reason"] for line in lines] == [os.strerror(errno.ENOSPC)]
    assert "ana" not in str(lines)
