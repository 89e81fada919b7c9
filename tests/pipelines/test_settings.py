"""A setting that is named with its own default changes nothing: not itself, and none of those beside it."""

import pytest

from pipelines.config import load_config
from tests.pipelines.test_thresholds import SETTINGS, written


@pytest.mark.parametrize("key", sorted(key for key, (value, _) in SETTINGS.items() if value is not None))
def test_naming_a_default_changes_nothing(key):
    named = load_config(None, None, [written(key, SETTINGS[key][0])])
    assert named == load_config(None, None)
