"""Remove from an image's environment what no part of the product reads, and print how much each kind took.

Each kind has to be found: when a library moves its files, the build fails rather than leave them. What is kept is what
the code names: `credit.aws` asks for DynamoDB, KMS and STS (a role's credentials), and texts are Portuguese.
"""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

SERVICES = {"dynamodb", "kms", "sts", "sso", "sso-oidc", "signin"}
"""The AWS services that a client may be made for: the last three are of people's own credentials."""
LANGUAGES = ("pt", "en")
SOURCES = (".c", ".h", ".pyx", ".pxd", ".pxi", ".pyi", ".a")
TOOLS = ("pip", "setuptools", "pkg_resources", "_distutils_hack", "wheel", "distutils-precedence.pth")


def services(packages: Path) -> Iterator[Path]:
    """Return the folders of other AWS services' shapes."""
    for folder in (packages / "botocore" / "data").iterdir():
        if folder.is_dir() and folder.name not in SERVICES:
            yield folder


def languages(packages: Path) -> Iterator[Path]:
    """Return the dates and numbers of other languages."""
    for file in (packages / "babel" / "locale-data").glob("*.dat"):
        if file.stem != "root" and file.stem.partition("_")[0] not in LANGUAGES:
            yield file


def tests(packages: Path) -> Iterator[Path]:
    """Return the libraries' own tests."""
    yield from (folder for folder in packages.glob("*/**/tests") if folder.is_dir())


def sources(packages: Path) -> Iterator[Path]:
    """Return the sources of extensions, and types for checkers."""
    yield from (file for file in packages.rglob("*") if file.suffix in SOURCES and file.is_file())


def tools(packages: Path) -> Iterator[Path]:
    """Return the installers of packages."""
    for name in TOOLS:
        yield from packages.glob(name)
        yield from packages.glob(f"{name}-*.dist-info")


def size_of(path: Path) -> int:
    """Return the bytes of a file, or of all in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.lstat().st_size for file in files if file.is_file() and not file.is_symlink())


def main(environment: Path) -> None:
    """Remove all of it.

    Raises:
        SystemExit: a kind was not there.
    """
    packages = next(environment.glob("lib/python3.*/site-packages"))
    for kind in (services, languages, tests, sources, tools):
        found = list(kind(packages))
        if not found:
            sys.exit(f"nothing to remove of {kind.__name__}: has a library moved its files?")
        total = sum(map(size_of, found))
        for path in found:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        sys.stdout.write(f"{kind.__name__}: {len(found)} removed, {total / 1e6:.1f} MB\n")
    for script in (environment / "bin").glob("pip*"):
        script.unlink()


main(Path(sys.argv[1]))
