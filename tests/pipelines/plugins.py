"""Specialists of somebody else's, found by an entry point as those of an installed package are."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from specialists import registry


@contextmanager
def installed(site: Path, source: str) -> Iterator[None]:
    """A package of one module with this source, installed in the new folder `site` for the duration."""
    info = site / "wordy-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "wordy_plugin.py").write_text(source)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: wordy\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[fld.specialists]\nwordy = wordy_plugin\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        registry.cards.cache_clear()
        yield
    registry.cards.cache_clear()
    sys.modules.pop("wordy_plugin", None)
