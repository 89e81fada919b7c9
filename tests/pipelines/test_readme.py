"""The README's commands, run as they are written."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
OURS = [block for block in BLOCKS if not block.startswith("make ")]  # those two are what CI itself runs


@pytest.mark.timeout(600)
def test_every_command_of_the_readme_works(tmp_path):
    """In one folder and in order, as a newcomer would; the demo's output is there because `make demo` came first."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def run(script: str) -> str:
        done = subprocess.run(
            ["bash", "-euc", script], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    run(
        "fld scenes demo-scenes --count 4 --seed 7 && fld build demo-scenes demo-out --profile starter --executor local"
    )
    assert len(OURS) >= 3
    for block in OURS:
        run(block.replace(". .venv/bin/activate\n", ""))


def test_every_configuration_of_the_readme_is_good(tmp_path):
    """Keys and specialists, with empty files in the places that the reader would fill."""
    from pipelines.config import load_config

    blocks = re.findall(
        r"^```toml\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert blocks
    for number, block in enumerate(blocks):
        file = tmp_path / f"{number}.toml"
        file.write_text(block, encoding="utf-8")
        load_config(str(file), None)
