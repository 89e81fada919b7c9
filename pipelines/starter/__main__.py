"""Make the starter kit: `python -m pipelines.starter`, or `make starter`.

Draws its own scenes, trains what is not there yet, prints the scores of each network on scenes that it has not seen,
and writes checkpoints, scores and checksums to `specialists/models/starter`. Stop it and start it again at any time.
"""

import argparse
import hashlib
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import specialists
from engine.errors import UserError
from pipelines.starter.clip import CLIP
from pipelines.starter.coca import COCA
from pipelines.starter.detectors import LARGE, SEEN
from pipelines.starter.florence import FLORENCE
from pipelines.starter.sam import SAM
from pipelines.starter.scenes import ALL, VALIDATE, Drawn, load
from pipelines.starter.scenes import SEEN as SEEN_SCENES
from pipelines.starter.trainer import Network, train

KIT: Final[tuple[tuple[Network, Drawn], ...]] = (
    (LARGE, ALL),
    (SEEN, SEEN_SCENES),
    (SAM, ALL),
    (CLIP, ALL),
    (COCA, ALL),
    (FLORENCE, ALL),
)
SCORES: Final = "scores.json"
SUMS: Final = "SHA256SUMS"
_TELL: Final = 2_000  # scenes from whose captions tokenizers learn their words
_SEED: Final = 1

log = logging.getLogger("starter")


def make(only: Sequence[str], dest: Path, work: Path, device: str) -> None:
    """Train the networks called `only` (all when empty) that `dest` does not hold yet, and write the checksums.

    Raises:
        UserError: there is no such network, or a folder cannot be written.
    """
    names = [network.name for network, _ in KIT]
    unknown = sorted(set(only) - set(names))
    if unknown:
        raise UserError(f"there is no network {', '.join(unknown)}; choose of {', '.join(names)}.")
    for network, drawn in KIT:
        if only and network.name not in only:
            continue
        if (dest / network.name / SCORES).exists():
            log.info("%s is there: %s", network.name, (dest / network.name / SCORES).read_text().strip())
            continue
        _make_one(network, drawn, dest / network.name, work, device)
    _write_sums(dest)


def _make_one(network: Network, drawn: Drawn, dest: Path, work: Path, device: str) -> None:
    examples = load(work / "scenes", drawn)
    learn = getattr(network, "learn", None)
    if learn is not None:
        learn(examples[:_TELL])
    module = train(network, examples, work, _SEED, device)
    scores = network.validate(module, load(work / "scenes", VALIDATE))
    dest.mkdir(parents=True, exist_ok=True)
    network.save(module, dest)
    rounded: dict[str, Any] = {name: round(value, 4) for name, value in scores.items()}
    (dest / SCORES).write_text(json.dumps(rounded) + "\n", encoding="utf-8")
    log.info("%s: %s", network.name, rounded)


def _write_sums(dest: Path) -> None:
    """`SHA256SUMS` over every file of the kit, as sha256sum writes and checks it."""
    files = sorted(path for path in dest.glob("*/*") if path.is_file())
    lines = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(dest)}\n" for path in files]
    dest.mkdir(parents=True, exist_ok=True)
    (dest / SUMS).write_text("".join(lines), encoding="utf-8")


def main() -> int:
    """Parse the command line; the exit code."""
    home = Path(specialists.__path__[0]) / "models" / "starter"
    parser = argparse.ArgumentParser(prog="python -m pipelines.starter", description=__doc__)
    parser.add_argument("only", nargs="*", help="networks to make; all by default")
    parser.add_argument("--dest", type=Path, default=home, help="where checkpoints go")
    parser.add_argument("--work", type=Path, default=Path("starter-work"), help="scenes and half-trained networks")
    parser.add_argument("--device", default="", help="cpu or cuda; cuda where there is one")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    os.environ |= {"HF_HUB_OFFLINE": "1", "YOLO_OFFLINE": "1", "YOLO_AUTOINSTALL": "False", "YOLO_VERBOSE": "False"}
    import torch

    try:
        given.work.mkdir(parents=True, exist_ok=True)
        make(given.only, given.dest, given.work, given.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    except UserError as error:
        print(f"starter: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
