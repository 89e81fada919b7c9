"""Photographs for `make demo`: the real ones that ship inside installed packages, so that nothing is downloaded.

    python -m pipelines.demo FOLDER

What `fld build --profile demo` says about them stands in `pipelines/demo/`: boxes drawn and texts written by eye.
"""

import importlib.util
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from engine.errors import UserError, WeightsMissing


@dataclass(frozen=True, slots=True)
class Photograph:
    """A photograph inside an installed package; its licence is the package's own."""

    package: str
    path: str

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


PHOTOGRAPHS: Final = (
    Photograph("ultralytics", "assets/bus.jpg"),
    Photograph("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    Photograph("ultralytics", "assets/zidane.jpg"),
)


def collect(dest: Path) -> int:
    """Copy the photographs into the folder `dest` under their own names; how many there are.

    The packages are looked up and never imported. The same again changes nothing.

    Raises:
        WeightsMissing: a package is not installed, or came without its photograph.
        UserError: `dest` cannot be written.
    """
    sources = [_find(photograph) for photograph in PHOTOGRAPHS]
    try:
        dest.mkdir(parents=True, exist_ok=True)
        for photograph, source in zip(PHOTOGRAPHS, sources, strict=True):
            shutil.copyfile(source, dest / photograph.name)
    except OSError as error:
        raise UserError(f"cannot copy the demo's photographs to {dest}: {error}. Choose another folder.") from error
    return len(sources)


def _find(photograph: Photograph) -> Path:
    spec = importlib.util.find_spec(photograph.package)
    if spec is None or spec.origin is None:
        raise WeightsMissing(f"the demo needs the package {photograph.package}: pip install {photograph.package}.")
    path = Path(spec.origin).parent / photograph.path
    if not path.is_file():
        raise WeightsMissing(
            f"the installed {photograph.package} came without {photograph.path}, which the demo shows. "
            f"Install it from PyPI: pip install --force-reinstall --no-deps {photograph.package}."
        )
    return path


def main() -> int:
    """`python -m pipelines.demo FOLDER`; the exit code."""
    if len(sys.argv) != 2:
        print("usage: python -m pipelines.demo FOLDER", file=sys.stderr)
        return 2
    try:
        count = collect(Path(sys.argv[1]))
    except UserError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    print(f"{count} photographs in {sys.argv[1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
