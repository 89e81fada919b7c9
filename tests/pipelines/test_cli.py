"""The command line as people script against it: exit codes, JSON, and one paragraph for every mistake."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.pipelines.scenes import QUICK, write_scenes

# What is learned is learned once, be an image in quarantine then or not.
ONE_BY_ONE = '\n[consensus.objects]\nmethod = "weighted"\n'
FLD = [sys.executable, "-m", "pipelines.cli"]


def fld(*arguments: str | Path, code: int = 0) -> subprocess.CompletedProcess:
    done = subprocess.run([*FLD, *map(str, arguments)], capture_output=True, text=True, timeout=240)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def build(root: Path, out: Path, *more: str, code: int = 0) -> dict:
    done = fld(
        "build",
        root / "images",
        out,
        "--config",
        root / "config.toml",
        "--executor",
        "local",
        "--json",
        *more,
        code=code,
    )
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    root = write_scenes(tmp_path_factory.mktemp("scenes"), 12)
    build(root, root / "out", "--shard-size", "5")
    return root


def test_help_is_instant_and_loads_nothing_heavy():
    fld("--help")  # the first run may write bytecode
    began = time.monotonic()
    fld("--help")
    assert time.monotonic() - began < 0.3
    code = (
        "import sys; sys.argv = ['fld', '--help']\n"
        "from pipelines.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'ray', 'spacy', 'numba', 'pyarrow', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_build_status_verify_and_a_second_build(built):
    again = build(built, built / "out", "--shard-size", "5")
    assert set(again) == {"images", "quarantined", "jobs_run", "jobs_reused", "seconds"}
    assert (again["images"], again["quarantined"], again["jobs_run"]) == (12, 0, 0)
    status = json.loads(fld("status", built / "out", "--json").stdout)
    assert status["images"] == 12 and status["shards"] == 3
    assert status["jobs"] == {"done": again["jobs_reused"], "todo": 0, "failed": 0}
    assert status["quarantine"] == []
    assert "every marker" in fld("verify", built / "out").stdout


def test_sql_answers_a_researchers_question(built):
    query = (
        "SELECT t.image_id, t.text FROM text t JOIN region_text r USING (image_id) "
        "WHERE r.label = 'person' GROUP BY ALL HAVING count(*) >= 2 ORDER BY ALL"
    )
    rows = json.loads(fld("sql", built / "out", query, "--json").stdout)
    assert [row["image_id"] for row in rows] == [f"{n:04d}.jpg" for n in range(12) if n % 3 == 2]
    assert "people" in fld("sql", built / "out", query).stdout
    assert "Parser Error" in fld("sql", built / "out", "SELEKT 1", code=2).stderr


def test_votes_say_who_said_what(built):
    query = (
        "SELECT v.specialist, count(*) AS n, min(n_eligible) AS eligible FROM "
        "(SELECT unnest(votes) AS v, n_eligible FROM region_text) GROUP BY 1 ORDER BY 1"
    )
    rows = json.loads(fld("sql", built / "out", query, "--json").stdout)
    boxes = sum(1 + n % 3 for n in range(12))
    assert rows == [{"specialist": s, "n": boxes, "eligible": 2} for s in ("one", "two")]


def test_changing_a_filter_runs_no_specialist(built, tmp_path):
    dry = json.loads(
        fld(
            "build", built / "images", built / "out", "--config", built / "config.toml", "--shard-size", "5",
            "--set", "filters.objects.min_confidence=0.5", "--dry-run", "--json",
        ).stdout
    )  # fmt: skip
    assert dry["jobs_todo"]
    decisions = {"regions", "region_text", "texts", "phrases", "triplets", "publish"}
    assert set(dry["jobs_todo"]) <= decisions


def test_verify_finds_a_flipped_byte_and_a_missing_shard(tmp_path):
    root = write_scenes(tmp_path, 4)
    build(root, root / "out", "--shard-size", "2")
    table = root / "out/text/00001.parquet"
    data = bytearray(table.read_bytes())
    data[len(data) // 2] ^= 1
    table.write_bytes(data)
    assert "checksum" in fld("verify", root / "out", code=3).stdout
    next((root / "out/published").glob("00001-*")).unlink()
    assert "1 of 2 shards are not published" in fld("verify", root / "out", code=3).stdout
    assert build(root, root / "out", "--shard-size", "2")["jobs_run"] == 1  # publishing alone mends it
    fld("verify", root / "out")


def test_quarantine_is_exit_code_1_and_retry_clears_it(tmp_path):
    root = write_scenes(tmp_path, 6, QUICK + ONE_BY_ONE)
    image = root / "images/0002.jpg"
    whole = image.read_bytes()
    # Same size, so that the source counts as unchanged: the tail is torn.
    image.write_bytes(whole[: len(whole) // 2] + b"\0" * (len(whole) - len(whole) // 2))
    summary = build(root, root / "out", code=1)
    assert summary["quarantined"] == 1
    status = json.loads(fld("status", root / "out", "--json").stdout)
    (row,) = status["quarantine"]
    assert set(row) == {"image_id", "stage", "error", "message", "attempts"}
    assert (row["image_id"], row["stage"], row["error"], row["attempts"]) == ("0002.jpg", "ingest", "ImageError", 1)
    assert "fld retry" in fld("status", root / "out").stdout
    image.write_bytes(whole)
    retried = json.loads(fld("retry", root / "out", "--executor", "local", "--json").stdout)
    assert retried["quarantined"] == 0
    clean = write_scenes(tmp_path / "clean", 6, QUICK + ONE_BY_ONE)
    build(clean, clean / "out")
    for name in ("text", "region_text", "text_phrase_region"):
        assert _rows(root / "out", name) == _rows(clean / "out", name)


def _rows(out: Path, table: str) -> list:
    return json.loads(fld("sql", out, f"SELECT * FROM {table} ORDER BY ALL", "--json").stdout)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ('[detectors.x]\nuses = "recordet"\npath = "one.json"', "Did you mean 'recorded'"),
        ('[detectors.x]\nuses = "recorded"\npath = "one.json"\nformatt = "coco"', "did you mean 'format'"),
        ("[filter.objects]\nmin_score = 0.2", "did you mean 'filters'"),
        ("[filters.objects]\nmin_confidenc = 0.2", "did you mean 'min_confidence'"),
        ("[filters.objects]\nmin_confidence = 7", "filters.objects.min_confidence"),
        ('[detectors.x]\npath = "one.json"', 'needs a line uses = "NAME"'),
        ('[detectors.x]\nuses = "recorded"\npath = "gone.json"\nformat = "coco"', "gone.json"),
        ('[crews.fast]\nstages = ["detekt.*"]', "no stage matches"),
        ("[crews.fast]\nstages = ['detect.*']\ngpus = 0.3", "crews.fast.gpus"),
        ("not toml at all", "is not valid TOML"),
        ('[detectors."../up"]\nuses = "recorded"\npath = "one.json"\nformat = "coco"', "a name is made of"),
        ("[consensus.objects.weights]\nonee = 2.0", "there is no 'onee'"),
    ],
)
def test_bad_configurations_are_refused_before_anything_starts(tmp_path, extra, words):
    root = write_scenes(tmp_path, 2)
    (root / "bad.toml").write_text((root / "config.toml").read_text() + extra)
    for command in (
        ["check", root / "bad.toml"],
        ["build", root / "images", root / "out", "--config", root / "bad.toml"],
    ):
        error = fld(*command, code=2).stderr
        assert words in error
        assert "Traceback" not in error
    assert not (root / "out").exists()


def test_bad_places_are_refused(tmp_path):
    root = write_scenes(tmp_path, 2)
    config = ("--config", root / "config.toml", "--executor", "local")
    assert "does not exist" in fld("build", root / "nowhere", root / "out", *config, code=2).stderr
    (root / "empty").mkdir()
    (root / "empty/notes.txt").write_text("no image")
    assert "no images" in fld("build", root / "empty", root / "out", *config, code=2).stderr
    (root / "file").write_text("x")
    assert "cannot write" in fld("build", root / "images", root / "file/out", *config, code=2).stderr
    assert "holds no build" in fld("status", root / "nothing", code=2).stderr
    fld("build", root / "images", root / "out", *config)
    other = write_scenes(tmp_path / "other", 3)
    error = fld("build", other / "images", root / "out", *config, code=2).stderr
    assert "was made with source" in error and "Choose another OUT" in error


def test_a_cluster_that_is_not_there_is_an_error_and_no_hang(tmp_path):
    root = write_scenes(tmp_path, 2)
    began = time.monotonic()
    config = ("--config", root / "config.toml", "--ray", "127.0.0.1:9")
    assert "no Ray cluster at 127.0.0.1:9" in fld("build", root / "images", root / "out", *config, code=2).stderr
    assert time.monotonic() - began < 20


def test_set_reaches_every_table_and_refuses_nonsense(tmp_path):
    root = write_scenes(tmp_path, 2)
    shown = fld("check", root / "config.toml", "--set", "run.attempts=5", "--explain").stdout
    assert "run.attempts = 5" in shown
    assert 'detectors.one.format = "coco"' in shown
    assert "a.b=value" in fld("check", root / "config.toml", "--set", "run", code=2).stderr
    assert "profile" in fld("check", "--profile", "nosuch", code=2).stderr


def test_specialists_lists_the_registry():
    found = json.loads(fld("specialists", "--json").stdout)
    names = {(item["role"], item["name"]) for item in found}
    assert {("reader", "rapidocr"), ("parser", "spacy"), ("detector", "recorded"), ("segmenter", "grabcut")} <= names
    assert all(item["licence"] and item["about"] for item in found)


def test_a_dry_run_leaves_no_trace(tmp_path):
    root = write_scenes(tmp_path, 4)
    config = ("--config", root / "config.toml", "--dry-run", "--limit", "1")
    assert "1 images" in fld("build", root / "images", root / "out", *config).stdout
    assert not (root / "out").exists()
    build(root, root / "out")
    before = (root / "out/run.json").read_bytes()
    fld(
        "build", root / "images", root / "out", "--config", root / "config.toml", "--dry-run", "--set", "run.attempts=4"
    )
    assert (root / "out/run.json").read_bytes() == before


def test_a_mended_image_is_taken_up_by_retry(tmp_path):
    root = write_scenes(tmp_path, 3)
    image = root / "images/0001.jpg"
    whole = image.read_bytes()
    image.write_bytes(whole[:500])
    assert build(root, root / "out", code=1)["quarantined"] == 1
    image.write_bytes(whole)
    assert json.loads(fld("retry", root / "out", "--executor", "local", "--json").stdout)["quarantined"] == 0
    assert json.loads(fld("sql", root / "out", "SELECT count(*) AS n FROM images", "--json").stdout) == [{"n": 3}]


def test_a_region_whose_text_is_rejected_leaves_no_dangling_triplet(tmp_path):
    root = write_scenes(tmp_path, 3, extra="\n[segmenters]\n[writers]\n")
    build(root, root / "out")
    rows = json.loads(fld("sql", root / "out", "SELECT count(*) AS n FROM text_phrase_region", "--json").stdout)
    assert rows[0]["n"] > 0
    fld("verify", root / "out")


def test_what_the_machine_does_to_us_is_exit_code_3(tmp_path):
    root = write_scenes(tmp_path, 2)
    build(root, root / "out")
    next((root / "out/text").iterdir()).unlink()
    assert "cannot be read" in fld("sql", root / "out", "SELECT 1", code=2).stderr
    problems = fld("verify", root / "out", code=3).stdout
    assert "delete" in problems and "published" in problems
    (root / "file").write_text("x")
    assert "Traceback" not in fld("status", root / "file", code=3).stderr


def test_limit_and_growth(tmp_path):
    root = write_scenes(tmp_path, 9)
    learn = ("--set", "consensus.reliability.sample=2")
    assert build(root, root / "few", "--limit", "4", "--shard-size", "2", *learn)["images"] == 4
    more = build(root, root / "few", "--limit", "8", "--shard-size", "2", *learn)
    assert more["images"] == 8
    assert more["jobs_run"] == more["jobs_reused"] - 1  # two shards stand, and what they taught; two are new
    build(root, root / "out", "--shard-size", "3", *learn)
    extra = write_scenes(tmp_path / "more", 11)
    for name in ("0009.jpg", "0010.jpg"):
        (root / "images" / name).write_bytes((extra / "images" / name).read_bytes())
    grown = build(root, root / "out", "--shard-size", "3", *learn)
    assert grown["images"] == 11
    stages = grown["jobs_run"]
    assert grown["jobs_reused"] == 3 * stages + 1  # the old shards stand, the new one is added


def test_ctrl_c_says_how_to_go_on(tmp_path):
    import signal

    root = write_scenes(tmp_path, 400)
    command = [
        *FLD,
        "build",
        root / "images",
        root / "out",
        "--config",
        root / "config.toml",
        "--executor",
        "local",
        "--shard-size",
        "2",
    ]
    process = subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True)
    while not list((root / "out").glob("published/*")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "interrupted" in error and "start the same command again" in error and "Traceback" not in error
    assert build(root, root / "out", "--shard-size", "2")["jobs_reused"] > 0
