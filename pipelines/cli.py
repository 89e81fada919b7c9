"""The command line. Every command is a function of `pipelines`; heavy modules load when a command needs them."""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from pipelines.build import Options, Summary
    from pipelines.config import Config

EXIT_PARTIAL, EXIT_USER, EXIT_FAILED, EXIT_INTERRUPTED = 1, 2, 3, 130

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Build FLD-5B style annotations: text, region-text and text-phrase-region, as Parquet.",
)


class ExecutorName(StrEnum):
    """Where jobs run."""

    ray = "ray"
    local = "local"


class DifficultyName(StrEnum):
    """How hard drawn scenes are to read."""

    easy = "easy"
    normal = "normal"
    hard = "hard"


Out = Annotated[str, typer.Argument(metavar="OUT", help="folder or fsspec URL of the annotations")]
Json = Annotated[bool, typer.Option("--json", help="print JSON with stable keys")]
Profile = Annotated[str | None, typer.Option(help="a configuration that ships with the package")]
ConfigFile = Annotated[str | None, typer.Option("--config", metavar="FILE", help="a configuration of your own (TOML)")]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="A.B=C", help="change one setting; may be repeated")]
Where = Annotated[ExecutorName, typer.Option(help="ray: worker processes; local: this process, for debugging")]
Address = Annotated[str | None, typer.Option("--ray", metavar="ADDRESS", help="join a Ray cluster (auto, host:port)")]
Workers = Annotated[int | None, typer.Option(min=1, help="workers of each crew; as many as fit when not given")]


@app.command()
def build(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="folder, tars, Parquet or JSON-lines of images")],
    out: Out,
    profile: Profile = None,
    config: ConfigFile = None,
    set_: Set = None,
    executor: Where = ExecutorName.ray,
    ray: Address = None,
    workers: Workers = None,
    shard_size: Annotated[int | None, typer.Option(min=1, help="images in a shard")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="only the first images of SOURCE")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be computed, and stop")] = False,
    as_json: Json = False,
) -> None:
    """Build the annotations of SOURCE in OUT. Start it again at any time: nothing is computed twice."""
    from pipelines.build import build as run
    from pipelines.build import dry_run as look

    options = _options(executor, ray, workers, as_json)
    options.shard_size, options.limit = shard_size, limit
    settings = _config(config, profile, set_)
    if dry_run:
        prepared = look(source, out, settings, options)
        _say_dry_run(prepared.schedule.todo_by_node, prepared.plan.images, prepared.schedule.counts.reused, as_json)
        return
    _finish(_progressing(options, lambda: run(source, out, settings, options), out), out, as_json)


@app.command()
def retry(
    out: Out,
    executor: Where = ExecutorName.ray,
    ray: Address = None,
    workers: Workers = None,
    as_json: Json = False,
) -> None:
    """Ask again for the images in quarantine, and only for those."""
    from pipelines.build import retry as run

    options = _options(executor, ray, workers, as_json)
    _finish(_progressing(options, lambda: run(out, options), out), out, as_json)


@app.command()
def check(
    file: Annotated[str | None, typer.Argument(metavar="FILE", help="a configuration (TOML)")] = None,
    profile: Profile = None,
    set_: Set = None,
    explain: Annotated[bool, typer.Option("--explain", help="write out every setting, defaults included")] = False,
) -> None:
    """Refuse a bad configuration before anything starts."""
    from pipelines.check import check as run
    from pipelines.config import explained

    settings = _config(file, profile, set_)
    checked = run(settings)
    if explain:
        for key, value, about in explained(settings):
            plain = value.model_dump(mode="json") if hasattr(value, "model_dump") else value
            shown = f"# {key} is not set" if plain is None else f"{key} = {json.dumps(plain, default=str)}"
            typer.echo(shown + (f"  # {about}" if about else ""))
    for note in checked.notes:
        typer.echo(note)
    where = file or f"profile {profile or 'default'}"
    typer.echo(f"{where}: good, {len(checked.stages)} stages: " + ", ".join(checked.stages))


@app.command()
def status(out: Out, as_json: Json = False) -> None:
    """How far OUT is, from storage only; during and after a run."""
    from pipelines.status import status as run

    found = run(out)
    if as_json:
        _echo_json({key: found[key] for key in ("images", "shards", "jobs", "quarantine")})
        return
    jobs = found["jobs"]
    typer.echo(f"{found['images']} images in {found['shards']} shards")
    typer.echo(f"jobs: {jobs['done']} done, {jobs['todo']} to do, {jobs['failed']} failed")
    for stage, message in found["failures"].items():
        typer.echo(f"stage {stage or 'engine'} stopped the last run: {message.splitlines()[0]}")
    for row in found["quarantine"]:
        tries = "once" if row["attempts"] == 1 else f"{row['attempts']} times"
        typer.echo(f"quarantine: {row['image_id']} in {row['stage']}: {row['error']}: {row['message']} (tried {tries})")
    if found["quarantine"]:
        typer.echo(f"try these again with: fld retry {out}")


@app.command()
def verify(out: Out) -> None:
    """Check every marker, checksum, schema and invariant."""
    from pipelines.verify import verify as run

    problems = run(out)
    for problem in problems:
        typer.echo(problem)
    if problems:
        raise typer.Exit(EXIT_FAILED)
    typer.echo(f"{out}: every marker, checksum, schema and invariant holds")


@app.command()
def stats(out: Out, as_json: Json = False) -> None:
    """The paper's tables 2 and 3 beside ours, rejections by reason, agreement by specialist."""
    from rich.console import Console

    from pipelines.stats import render
    from pipelines.stats import stats as run

    found = run(out)
    if as_json:
        _echo_json(found)
    else:
        render(found, Console())


@app.command()
def explain(
    out: Out,
    image: Annotated[str, typer.Argument(metavar="IMAGE_ID", help="its id, the beginning of one, or its file's name")],
    everything: Annotated[bool, typer.Option("--all", help="every row; without it, the first of each stage")] = False,
    as_json: Json = False,
) -> None:
    """The story of one image: what was said, voted, decided and why, and what is published; also during a run."""
    from pipelines.explain import explain as run
    from pipelines.explain import render

    story = run(out, image)
    if as_json:
        _echo_json(story)
    else:
        typer.echo("\n".join(render(story, everything)))


@app.command()
def sweep(
    out: Out,
    set_: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="A.B=VALUES",
            help="START:STOP:STEP or a list V,V,V for one setting of filters or consensus; others as A.B=C",
        ),
    ],
    truth: Annotated[
        str | None, typer.Option(metavar="FILE", help="also measure every value against it, as `fld eval` does")
    ] = None,
    plot: Annotated[str | None, typer.Option(metavar="FILE", help="draw it: .svg, .html or .png")] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="leave out decisions for which a specialist would have to run")
    ] = False,
    as_json: Json = False,
) -> None:
    """Decide anew for a range of values, from what specialists said: kept, rejected, agreement, precision, recall.

    No specialist runs, and what is published does not change. Agreement is the mean share of the specialists that
    could have voted for what is kept and did; confidence is its mean confidence.
    """
    from rich.console import Console

    from pipelines.sweep import check_name, render
    from pipelines.sweep import plot as draw
    from pipelines.sweep import sweep as run

    if plot is not None:
        check_name(plot)
    found = run(out, set_, truth, partial=partial, say=lambda text: typer.echo(text, err=True))
    if as_json:
        _echo_json(found)
    else:
        render(found, Console(markup=False, highlight=False))
    if plot is not None:
        draw(found, plot)


@app.command("eval")
def evaluate(
    out: Out,
    truth: Annotated[str, typer.Option(metavar="FILE", help="truth.json of `fld scenes`, or COCO instances")],
    as_json: Json = False,
) -> None:
    """Measure OUT, and every single specialist, against ground truth."""
    from rich.console import Console

    from pipelines.eval import evaluate as run
    from pipelines.eval import render

    found = run(out, truth)
    if as_json:
        _echo_json(found)
    else:
        render(found, Console(markup=False, highlight=False))


@app.command()
def sql(
    out: Out,
    query: Annotated[
        str, typer.Argument(metavar="SQL", help="over images, text, region_text, text_phrase_region, rejected")
    ],
    as_json: Json = False,
) -> None:
    """Run SQL (DuckDB) over the five tables."""
    from pipelines.query import sql as run

    answer = run(out, query)
    if as_json:
        _echo_json([dict(zip(answer.columns, row, strict=True)) for row in answer.rows])
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(*answer.columns, box=box.SIMPLE_HEAD)
    for row in answer.rows:
        table.add_row(*("" if value is None else str(value) for value in row), end_section=False)
    Console(markup=False, highlight=False).print(table)


@app.command()
def report(
    out: Out,
    file: Annotated[str, typer.Argument(metavar="FILE", help="the page to write, such as report.html")],
    limit: Annotated[int, typer.Option(min=1, help="images on the page, the first by name")] = 64,
) -> None:
    """Write one page that needs nothing else: pictures, boxes, masks, texts, votes and rejections."""
    from pipelines.report import report as run

    done = run(out, file, limit)
    without = f", {done.missing} without a picture" if done.missing else ""
    typer.echo(f"{file}: {done.shown} of {done.images} images{without}, {done.bytes / 1e6:.1f} MB")


@app.command()
def scenes(
    dest: Annotated[str, typer.Argument(metavar="DEST", help="folder for the images and their truth")],
    count: Annotated[int, typer.Option(min=1, help="how many scenes")],
    seed: Annotated[int, typer.Option(min=0, help="the same seed gives the same bytes")],
    size: Annotated[int, typer.Option(min=64, max=2048, help="width and height in pixels")] = 256,
    difficulty: Annotated[DifficultyName, typer.Option(help="noise, blur, perspective")] = DifficultyName.normal,
) -> None:
    """Draw scenes with exact ground truth: images, truth.json, coco.json, captions.json."""
    from pathlib import Path

    from pipelines.scenes import draw

    drawn = draw(Path(dest), count, seed, size, difficulty.value)
    typer.echo(f"{drawn} scenes in {dest}, with truth.json, coco.json and captions.json")


@app.command()
def specialists(as_json: Json = False) -> None:
    """Roles, licences, and what is installed."""
    from specialists.registry import catalogue

    found = catalogue()
    if as_json:
        _echo_json(found)
        return
    for item in found:
        state = "installed" if item["installed"] else f"missing: {item['missing']}"
        weights = f"weights: {item['weights']}"
        typer.echo(f"{item['role']:10} {item['name']:12} {state:10} {weights:24} {item['about']} [{item['licence']}]")


def main() -> None:
    """Entry point: errors become a paragraph and an exit code, an interrupt says how to go on."""
    from engine.errors import StageFailed, StoreError, UserError

    logging.basicConfig(level=os.environ.get("FLD_LOG", "WARNING"), format="%(levelname)s %(name)s: %(message)s")
    try:
        app()
    except UserError as error:
        _stop(str(error), EXIT_USER)
    except (StageFailed, StoreError) as error:
        _stop(str(error), EXIT_FAILED)
    except BrokenPipeError:  # the reader of our output, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except Exception as error:
        logging.getLogger("fld").debug("unexpected", exc_info=error)
        kind = type(error).__name__
        _stop(f"unexpected {kind}: {error}. FLD_LOG=DEBUG shows where; please report it.", EXIT_FAILED)


def _stop(message: str, code: int) -> NoReturn:
    print(f"fld: {message}", file=sys.stderr)
    sys.exit(code)


def _config(file: str | None, profile: str | None, overrides: list[str] | None) -> "Config":
    from engine.errors import ConfigError
    from pipelines.config import load_config

    if file is not None and profile is not None:
        raise ConfigError("give --config or --profile, not both")
    return load_config(file, profile, overrides or ())


def _options(executor: ExecutorName, ray: str | None, workers: int | None, as_json: bool) -> "Options":
    from pipelines.build import Options

    options = Options(executor=executor.value, ray_address=ray, workers=workers)
    # With --json, standard output holds the JSON and nothing else.
    options.say = lambda text: typer.echo(text, err=as_json)
    return options


def _progressing(options: "Options", run: Callable[[], "Summary"], out: str) -> "Summary":
    from pipelines.progress import Progress

    with Progress() as progress, _explained_interrupt(out):
        options.observe = progress
        return run()


@contextmanager
def _explained_interrupt(out: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        _stop(f"interrupted. What is done is kept in {out}; start the same command again to go on.", EXIT_INTERRUPTED)


def _finish(summary: "Summary", out: str, as_json: bool) -> None:
    from pipelines.build import summary_json

    if as_json:
        _echo_json(summary_json(summary))
    else:
        typer.echo(
            f"{summary.images} images, {summary.jobs_run} jobs run, {summary.jobs_reused} reused, "
            f"{summary.quarantined} images in quarantine, {summary.seconds:.1f} s"
        )
        if summary.quarantined:
            typer.echo(f"see them with: fld status {out}    try them again with: fld retry {out}")
    if summary.quarantined:
        raise typer.Exit(EXIT_PARTIAL)


def _say_dry_run(todo: dict[str, int], images: int, reused: int, as_json: bool) -> None:
    if as_json:
        _echo_json({"images": images, "jobs_todo": todo, "jobs_reused": reused})
        return
    typer.echo(f"{images} images; {sum(todo.values())} jobs to run, {reused} are there already")
    for stage, count in todo.items():
        typer.echo(f"  {stage}: {count}")


def _echo_json(value: Any) -> None:
    typer.echo(json.dumps(value, default=str, ensure_ascii=False))


if __name__ == "__main__":
    main()
