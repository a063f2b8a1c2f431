"""``nvpcodec bulk``: a tree of images to a tree of .nvp files, or back."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click

from nvpcodec import urls
from nvpcodec.bulk import local, manifest, on_ray, plan, trees
from nvpcodec.bulk.manifest import Entry, Manifest
from nvpcodec.bulk.plan import Job, Plan
from nvpcodec.cli.common import coding_options, effort_option
from nvpcodec.errors import NvpError
from nvpcodec.options import Options

MANIFEST_NAME = "manifest.jsonl"


@click.command()
@click.argument("source", metavar="SRC")
@click.argument("target", metavar="DST")
@coding_options
@effort_option
@click.option("--decode", "decoding", is_flag=True, help="From .nvp files to PNG files.")
@click.option(
    "-j", "--jobs", type=click.IntRange(min=1), metavar="N", help="Processes at a time. [default: one a core]"
)
@click.option("--verify", is_flag=True, help="Read each output again and compare before it is written.")
@click.option("--manifest", "listed", metavar="FILE", help=f"Instead of DST/{MANIFEST_NAME}.")
@click.option("-n", "--dry-run", is_flag=True, help="Print what would be done.")
@click.option(
    "--ray",
    "address",
    is_flag=False,
    flag_value="",
    metavar="[ADDRESS]",
    help="Use the Ray cluster there; without ADDRESS the one that Ray finds, or starts here. Put it last.",
)
def bulk(
    source: str,
    target: str,
    model: str,
    device: str,
    max_pixels: int,
    force: bool,
    quiet: bool,
    effort: int,
    decoding: bool,
    jobs: int | None,
    verify: bool,
    listed: str | None,
    dry_run: bool,
    address: str | None,
) -> None:
    """Encode a whole tree of images.

    SRC and DST are folders or URLs. SRC/a/b.jpg becomes DST/a/b.jpg.nvp; with --decode that becomes
    b.jpg.png, and b.png.nvp becomes b.png. Files of other kinds are left out.

    Run it again to go on after an interruption: what is done is kept, what failed is tried again. A file that
    fails stops none of the others. The manifest has a line of JSON for each file.

    \b
    nvpcodec bulk photos/ packed/ --verify
    nvpcodec bulk packed/ copy/ --decode --jobs 8
    nvpcodec bulk /shared/photos s3://bucket/packed --manifest packed.jsonl --ray head:6379
    """
    options = Options(model=model, device=device, max_pixels=max_pixels, effort=effort)
    job = Job(_source_root(source), trees.root_of(target), options, decoding, verify, force)
    path = _manifest_path(job, listed)
    if dry_run:
        with manifest.read_only(path) as record:
            _print_plan(plan.make(job, record))
        return
    trees.make_folder_of(str(path))
    with manifest.opened(path) as record:
        todo = plan.make(job, record)
        leftovers = trees.unfinished(job.target, [task.output for task in todo.tasks])
        work = (
            local.run(todo.tasks, job, jobs or local.cores())
            if address is None
            else on_ray.run(todo.tasks, job, jobs, address)
        )
        totals = _carry_out(todo, work, record, quiet=quiet)
        trees.remove(leftovers)
    _tell(totals, todo, job, path, quiet=quiet)


@dataclass
class _Totals:
    """What was done in this run."""

    started: float = field(default_factory=time.perf_counter)
    coded: int = 0
    failed: int = 0
    input_bytes: int = 0
    output_bytes: int = 0
    notes: Counter[str] = field(default_factory=Counter)

    def count(self, entry: Entry) -> None:
        if entry.error is not None:
            self.failed += 1
            return
        self.coded += 1
        self.input_bytes += entry.input_bytes or 0
        self.output_bytes += entry.output_bytes or 0
        self.notes.update(entry.notes)


def _source_root(source: str) -> str:
    root = trees.root_of(source)
    if not urls.is_url(root) and not os.path.isdir(root):
        raise click.UsageError(f"there is no folder {click.format_filename(source)}")
    return root


def _manifest_path(job: Job, listed: str | None) -> Path:
    if listed is not None:
        return Path(os.path.abspath(listed))
    if urls.is_url(job.target):
        raise click.UsageError("DST is a URL; say where the manifest should be (--manifest FILE)")
    return Path(job.target, MANIFEST_NAME)


def _print_plan(todo: Plan) -> None:
    for task in todo.tasks:
        click.echo(f"{click.format_filename(task.name)} -> {click.format_filename(task.output)}")
    for entry in todo.refused:
        click.echo(f"{click.format_filename(entry.name)}: {entry.error}")


def _carry_out(todo: Plan, work: Generator[Entry, None, None], record: Manifest, *, quiet: bool) -> _Totals:
    """Write each entry down as it comes."""
    totals = _Totals()
    for entry in todo.refused:
        record.add(entry)
        totals.count(entry)
    with _bar(len(todo.tasks), quiet) as step, closing(work):
        for entry in work:
            record.add(entry)
            totals.count(entry)
            step()
    return totals


@contextmanager
def _bar(length: int, quiet: bool) -> Iterator[Callable[[], None]]:
    """A progress bar where a terminal shows it."""
    if quiet or length == 0 or not sys.stderr.isatty():
        yield lambda: None
        return
    with click.progressbar(length=length, show_pos=True, file=sys.stderr) as bar:
        bar.render_progress()
        yield lambda: bar.update(1)


def _tell(totals: _Totals, todo: Plan, job: Job, path: Path, *, quiet: bool) -> None:
    """The sums, and an error if a file failed."""
    if not quiet:
        for note, count in totals.notes.items():
            click.echo(f"nvpcodec: note: {count} of {totals.coded}: {note}", err=True)
        parts = [f"{totals.coded} done", f"{todo.done} had been done", f"{totals.failed} failed"]
        if todo.others:
            parts.append(f"{todo.others} of other kinds left out")
        click.echo(
            f"{urls.shown(job.source)} -> {urls.shown(job.target)}: {', '.join(parts)};"
            f" {totals.input_bytes} -> {totals.output_bytes} bytes,"
            f" {time.perf_counter() - totals.started:.2f} s",
            err=True,
        )
    if totals.failed:
        total = totals.coded + totals.failed + todo.done
        raise NvpError(f"{totals.failed} of {total} files failed; {path} says why")
