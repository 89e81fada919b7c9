"""Values of a setting, tried on a real OUT: what each keeps, that no specialist runs, and that OUT stays as it is."""

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import fsspec
import pytest
from PIL import Image
from rich.console import Console

from engine.errors import ConfigError, OutError
from pipelines.build import Options, build, dry_run
from pipelines.config import load_config
from pipelines.query import sql
from pipelines.sweep import plot, render, sweep
from pipelines.sweep_values import parse
from tests.pipelines.plugins import AUTHOR, installed
from tests.pipelines.scenes import QUICK, write_scenes

# Six images: six dogs of 40 x 30 pixels, which both detectors see, and six people of 20 x 25, which only one does.
# Confidence is a mean of scores, for which so few images are enough.
ROLES = QUICK + '[consensus.objects]\nmethod = "weighted"\n'
ANYTHING = "filters.objects.min_confidence=0"
SIDES = "filters.objects.min_side=10,25,35"
KEPT = [12, 6, 0]
OPTIONS = Options(executor="local", shard_size=4, say=lambda _: None)


def made(root: Path, extra: str = ROLES, out: str = "") -> str:
    write_scenes(root, 6, extra)
    two = json.loads((root / "two.json").read_text())
    two["annotations"] = [box for box in two["annotations"] if box["category_id"] == 1]
    (root / "two.json").write_text(json.dumps(two))
    out = out or str(root / "out")
    build(str(root / "images"), out, load_config(str(root / "config.toml"), None), OPTIONS)
    return out


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("scenes")


@pytest.fixture(scope="module")
def out(root):
    return made(root)


@pytest.fixture(scope="module")
def before(out):
    return contents(out)


@pytest.fixture(scope="module")
def found(out, before, root):
    return sweep(out, [SIDES, ANYTHING], str(root / "one.json"))


def contents(out: str) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in Path(out).rglob("*") if p.is_file()}


def test_every_value_is_counted_by_reason(found):
    assert found["setting"] == "filters.objects.min_side" and found["fixed"] == [ANYTHING]
    assert [row["value"] for row in found["values"]] == [10, 25, 35]
    regions = [row["stages"]["regions"] for row in found["values"]]
    assert [row["kept"] for row in regions] == KEPT
    assert [row["rejected"] for row in regions] == [{}, {"size": 6}, {"size": 12}]
    assert {row["family"] for row in regions} == {"region_text"}


def test_agreement_is_the_share_of_those_that_could_vote_and_did(found):
    agreement = [row["stages"]["regions"]["agreement"] for row in found["values"]]
    assert agreement == [(6 * 1 + 6 * 0.5) / 12, 1.0, None]


def test_only_decisions_are_made(found):
    for row in found["values"]:
        assert row["jobs_run"] and not any("." in name or name in ("ingest", "publish") for name in row["jobs_run"])
        assert row["jobs_reused"] > 0


def test_a_value_is_measured_as_it_would_be_in_an_out_of_its_own(found):
    boxes = [row["truth"]["boxes"] for row in found["values"]]
    assert [(row["precision"], row["recall"]) for row in boxes] == [(1.0, 1.0), (1.0, 0.5), (None, 0.0)]
    assert boxes[0]["ap"] > boxes[1]["ap"] > boxes[2]["ap"] == 0.0


def test_out_stays_as_it_is_but_for_new_decisions(out, before, found):
    now = contents(out)
    assert {name: now[name] for name in before} == before
    assert all(name.startswith("work/") and "." not in name.partition("@")[0] for name in now.keys() - before.keys())
    ((count,),) = sql(out, "SELECT count(*) FROM region_text").rows
    assert count == 12


def test_what_was_tried_is_not_decided_again(out, root, found):
    again = sweep(out, [SIDES, ANYTHING])
    assert [row["jobs_run"] for row in again["values"]] == [{}, {}, {}]
    assert [row["stages"] for row in again["values"]] == [row["stages"] for row in found["values"]]
    settings = ["filters.objects.min_side=25", ANYTHING]
    prepared = dry_run(str(root / "images"), out, load_config(str(root / "config.toml"), None, settings), OPTIONS)
    assert prepared.schedule.todo_by_node == {"publish": 2}


def test_the_value_chosen_publishes_what_the_sweep_promised(tmp_path, found):
    root = tmp_path
    made(root)
    settings = ["filters.objects.min_side=25", ANYTHING]
    build(str(root / "images"), str(root / "out"), load_config(str(root / "config.toml"), None, settings), OPTIONS)
    ((count,),) = sql(str(root / "out"), "SELECT count(*) FROM region_text").rows
    assert count == found["values"][1]["stages"]["region_text"]["kept"] == 6


def test_an_out_that_is_no_folder():
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        try:
            rows = sweep(made(Path(folder), out="memory://swept"), [SIDES, ANYTHING])["values"]
        finally:
            fsspec.filesystem("memory").rm("/swept", recursive=True)
    assert [row["stages"]["regions"]["kept"] for row in rows] == KEPT


def test_a_specialist_that_would_be_asked_anew_is_named_and_not_run(tmp_path):
    # This writer has to be asked about other regions, and what it writes is decided about: details.
    with installed(tmp_path / "site", AUTHOR):
        out = made(tmp_path / "scenes", ROLES.replace("[writers]", '[writers.free]\nuses = "author"\n'))
        settings = ["consensus.objects.fusion.iou=0.5:0.7:0.1"]
        with pytest.raises(ConfigError, match=r"with other values of .*\.iou, write\.free would be asked .* --partial"):
            sweep(out, settings)
        found = sweep(out, settings, partial=True)
    assert "details" in found["left_out"]
    assert all("regions" in row["stages"] and "details" not in row["stages"] for row in found["values"])
    assert not any("." in name for row in found["values"] for name in row["jobs_run"])


def test_composed_texts_are_decided_without_asking_anybody(tmp_path):
    doubtful = '[writers.template]\nuses = "template"\nmin_confidence = 0.1\n'  # people are seen by one of two
    out = made(tmp_path, ROLES.replace("[writers]\n", doubtful))
    found = sweep(out, [SIDES, ANYTHING])
    assert found["left_out"] == []
    kept = [(row["stages"]["details"]["kept"], row["stages"]["triplets_details"]["kept"]) for row in found["values"]]
    assert kept[2] == (0, 0) and kept[0][0] == kept[1][0] == 12 and kept[0][1] > kept[1][1] > 0


def test_an_unfinished_out_is_not_swept(tmp_path):
    out = made(tmp_path)
    (sidecar,) = Path(out).glob("work/detect.one@*/00000-*")
    sidecar.unlink()
    with pytest.raises(OutError, match=r"lacks answers of detect\.one\. Finish it"):
        sweep(out, [SIDES])


def test_a_range_is_decimal_and_has_both_ends():
    key, values, fixed = parse(["filters.a=0.1:0.4:0.1", "filters.b=3", 'filters.c=["x", "y"]', "run.d=a:b"])
    assert key == "filters.a" and [value for _, value in values] == [0.1, 0.2, 0.3, 0.4]
    assert fixed == ["filters.b=3", 'filters.c=["x", "y"]', "run.d=a:b"]
    assert [value for _, value in parse(["filters.a=1:10:4"])[1]] == [1, 5, 9]
    assert [value for _, value in parse(["consensus.m=true, mean,0.5"])[1]] == [True, "mean", 0.5]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["filters.a=1"], "here none. For it, write"),
        (["filters.a=1,2", "filters.b=1,2"], "here filters.a=1,2 and filters.b=1,2"),
        (["detectors.a.b=1,2"], "under filters and consensus"),
        (["filters.a=5:1:1"], "goes up"),
        (["filters.a=0:1:0"], "goes up"),
        (["filters.a=0:1:0.0001"], "10001 values"),
        (["filters.a"], "write it as a.b=value"),
    ],
)
def test_what_cannot_be_swept_is_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        parse(settings)


def test_a_setting_that_is_not_there_is_answered_with_the_nearest(out):
    with pytest.raises(ConfigError, match=r"unknown key .*min_sid'.*did you mean 'min_side'"):
        sweep(out, ["filters.objects.min_sid=1,2"])


def test_the_plot(found, tmp_path):
    plot(found, str(tmp_path / "a.svg"))
    words = [t.text for t in ElementTree.parse(tmp_path / "a.svg").iter("{http://www.w3.org/2000/svg}text")]
    assert {"kept", "regions", "against the truth", "boxes precision", "boxes recall", "10", "25", "35"} < set(words)
    plot(found, str(tmp_path / "a.html"))
    assert "<svg" in (tmp_path / "a.html").read_text()
    plot(found, str(tmp_path / "a.png"))
    with Image.open(tmp_path / "a.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 10
    with pytest.raises(ConfigError, match="must end in"):
        plot(found, str(tmp_path / "a.pdf"))


def test_people_read_tables_of_a_hundred_columns(found, capsys):
    render(found, Console(markup=False, highlight=False))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0] == f"filters.objects.min_side (with {ANYTHING})"
    assert any(line.split() == ["25", "6", "6", "6", "0.900", "1.000"] for line in lines)
    assert any(line.startswith("the same for every value: ") for line in lines)


def test_the_command(out, tmp_path):
    picture = tmp_path / "p.svg"
    command = [sys.executable, "-m", "pipelines.cli", "sweep", out, "--set", SIDES, "--set", ANYTHING]
    command += ["--json", "--plot", str(picture)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert [row["stages"]["regions"]["kept"] for row in json.loads(done.stdout)["values"]] == KEPT
    assert picture.exists()
