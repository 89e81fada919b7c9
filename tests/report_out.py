"""A small real build with hostile names, labels and captions, for the tests of its page."""

import json
from pathlib import Path

from pipelines.build import Options, build
from pipelines.config import load_config
from tests.pipelines.scenes import write_scenes

# What would run, if any of it were taken for HTML, gives the page another title.
RUN = "document.title='broken'"
HOSTILE_NAME = f'"><svg onload={RUN}>.jpg'
HOSTILE_LABEL = f"</script><script>{RUN}</script><!--<script>"
HOSTILE_TEXT = f"a brown dog 🐕 sits near two people <img src=x onerror={RUN}> on the “green” grass &amp"


# HTML in a caption is noise; here it has to reach the page.
UNFILTERED = "\n[filters.texts.checks.leak]\nenabled = false\n"


def write_out(root: Path, count: int = 5) -> Path:
    """Build `count` scenes in root / "out": image 1 has a hostile name and caption, every person a hostile label."""
    write_scenes(root, count, extra="\n[segmenters]\n[writers]\n" + UNFILTERED)
    (root / "images" / "0001.jpg").rename(root / "images" / HOSTILE_NAME)
    for name in ("one", "two", "captions"):
        content = json.loads((root / f"{name}.json").read_text())
        content["images"][1]["file_name"] = HOSTILE_NAME
        content["categories"][1]["name"] = HOSTILE_LABEL
        if name == "captions":
            content["annotations"][1]["caption"] = HOSTILE_TEXT
        (root / f"{name}.json").write_text(json.dumps(content))
    (root / "images" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not a picture")
    config = load_config(str(root / "config.toml"), None)
    build(str(root / "images"), str(root / "out"), config, Options(executor="local", shard_size=4, say=lambda _: None))
    return root / "out"
