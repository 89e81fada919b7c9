"""Real data beside the checkout: read where it is, never copied; tests skip without it."""

from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def need(name: str) -> Path:
    """The path of a shared file or folder, or a skipped test."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"../shared/data/{name} is not beside this checkout")
    return path
