"""``nvpcodec score``: how well images fit the model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nvpcodec import files
from nvpcodec.bulk.plan import IMAGE_SUFFIXES
from nvpcodec.cli.common import effort_option, model_options, named, progress_line
from nvpcodec.errors import InputError
from nvpcodec.options import Options
from nvpcodec.scores import Reference, Score

if TYPE_CHECKING:
    from nvpcodec.pixels import Image

_PLACE = click.Path(exists=True, path_type=Path)


@click.command()
@click.argument("sources", metavar="IMAGES...", nargs=-1, required=True, type=_PLACE)
@model_options
@effort_option
@click.option(
    "--reference",
    "reference_place",
    metavar="FOLDER|JSON",
    type=_PLACE,
    help="Images, or what --json printed of them, to compare with.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def score(
    sources: tuple[Path, ...],
    model: str,
    device: str,
    max_pixels: int,
    effort: int,
    reference_place: Path | None,
    as_json: bool,
) -> None:
    """Show how well images fit the model, without writing files.

    IMAGES are image files and folders of them. For each image: bits/dim under the model, which is the theory
    of its file; and the corrected score, which is that less the bits/dim of the shortest coding without a
    model. The corrected score is high where the model knows less of the image than it should.

    With --reference both also as z: how many standard deviations they lie above the mean of those images.
    Large values of either sign are strange. Smooth images need few bits under any model: they are found by
    the corrected score only. Docs: docs/scores.md.

    \b
    nvpcodec score photo.png
    nvpcodec score --json good/ > good.json
    nvpcodec score --reference good.json new/
    """
    options = Options(model=model, device=device, max_pixels=max_pixels, effort=effort)
    reference = None if reference_place is None else _reference(reference_place, options)
    scores = {}
    for path, each in _scored(sources, options):
        scores[str(path)] = each
        if not as_json:
            click.echo(_line(str(path), each, reference))
    if as_json:
        images = [_record(name, each, reference) for name, each in scores.items()]
        click.echo(json.dumps({"reference": _reference_record(list(scores.values())), "images": images}))


def _reference(place: Path, options: Options) -> Reference:
    if place.is_dir():
        return Reference.of([each for _, each in _scored((place,), options)])
    with named(str(place)):
        return Reference.from_json(files.read(place))


def _scored(sources: tuple[Path, ...], options: Options) -> Iterator[tuple[Path, Score]]:
    """Each image file and its score."""
    from nvpcodec import scoring

    found = [path for source in sources for path in _files_in(source)]
    if not found:
        raise click.UsageError("there is no image file in that folder")
    progress = progress_line(False, "images")
    for done, path in enumerate(found, 1):
        with named(str(path)):
            scored = scoring.score_image(_read(path, options), options)
        progress(done, len(found))
        yield path, scored


def _read(path: Path, options: Options) -> Image:
    from nvpcodec import imagefile

    return imagefile.read(files.read(path), max_pixels=options.max_pixels).image


def _files_in(source: Path) -> list[Path]:
    """A file, or all image files below a folder, in the order of their names."""
    if not source.is_dir():
        return [source]
    return sorted(path for path in source.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)


def _line(name: str, score: Score, reference: Reference | None) -> str:
    if reference is None:
        return f"{name}: {score.bits_per_dim:.4f} bits/dim, corrected {score.corrected:+.4f}"
    z, corrected_z = reference.z(score)
    return (
        f"{name}: {score.bits_per_dim:.4f} bits/dim (z {z:+.2f}),"
        f" corrected {score.corrected:+.4f} (z {corrected_z:+.2f})"
    )


def _record(name: str, score: Score, reference: Reference | None) -> dict[str, Any]:
    record = {
        "name": name,
        "dims": score.dims,
        "model_bits": score.model_bits,
        "plain_bits": score.plain_bits,
        "bits_per_dim": score.bits_per_dim,
        "corrected": score.corrected,
    }
    if reference is not None:
        record["z"], record["corrected_z"] = reference.z(score)
    return record


def _reference_record(scores: list[Score]) -> dict[str, Any] | None:
    """The reference that these images make; None if they make none."""
    try:
        record: dict[str, Any] = json.loads(Reference.of(scores).to_json())
    except InputError:
        return None
    return record
