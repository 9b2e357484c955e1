"""One podman for all tests of the folder, with the images built once."""

from collections.abc import Iterator

import pytest

from tests.support.containers import MISSING, Podman, running_podman


@pytest.fixture(scope="session")
def podman() -> Iterator[Podman]:
    if MISSING:
        pytest.skip(f"NO {', '.join(MISSING)}: no image was built or run (`make deploy-tools`, as root)")
    with running_podman() as running:
        running.make_images()
        yield running
