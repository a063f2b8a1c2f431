"""``nvpcodec report``: images through nvpcodec and other codecs, as a page for people or as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nvpcodec import storage
from nvpcodec.cli.common import (
    InputPlace,
    coding_options,
    effort_option,
    named,
    progress_line,
    read_source,
    shown,
    write_target,
)
from nvpcodec.options import Options

if TYPE_CHECKING:
    from nvpcodec.comparison import Comparison


@click.command()
@click.argument("sources", metavar="IN...", nargs=-1, required=True, type=InputPlace())
@click.option("-o", "--out", metavar="OUT", type=click.Path(allow_dash=True), help="The page, a .html file.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as one JSON object.")
@coding_options
@effort_option
def report(
    sources: tuple[str, ...],
    out: str | None,
    as_json: bool,
    model: str,
    device: str,
    max_pixels: int,
    force: bool,
    quiet: bool,
    effort: int,
) -> None:
    """Compare sizes with PNG, WebP and JPEG XL, on a page.

    IN are image files. Each is encoded, decoded and compared; the page shows its sizes, what theory says,
    seconds, and a map of bits per pixel. Where nvpcodec does worst, beside the best other codec, comes first.
    The page is one file that needs nothing else. For JPEG XL, imagecodecs must be installed.

    \b
    nvpcodec report photos/*.png -o report.html
    nvpcodec report --json photos/*.png | jq .totals
    """
    _check_out(out, as_json=as_json, force=force)
    options = Options(model=model, device=device, max_pixels=max_pixels, effort=effort)

    from nvpcodec import comparison, report_page

    found = _compared(sources, options, quiet)
    if as_json:
        figures = [each.figures() for each in comparison.by_ratio(found)]
        click.echo(json.dumps({"totals": comparison.totals(found), "images": figures}))
    if out is not None:
        page = report_page.render(found, options)
        write_target(out, page.encode(), force=force)
        if not quiet:
            click.echo(f"{shown(out, 'stdout')}: {len(found)} images, {len(page.encode())} bytes", err=True)


def _check_out(out: str | None, *, as_json: bool, force: bool) -> None:
    if out is None and not as_json:
        raise click.UsageError("name the page with -o report.html, or ask for --json")
    if out == "-" and as_json:
        raise click.UsageError("the page and the JSON cannot both go to stdout; name OUT")
    if out == "-" and (sys.stdout is None or sys.stdout.isatty()):
        raise click.UsageError("the page would go to a terminal; name OUT or redirect it")
    if out is not None and out != "-":
        storage.check_target(out, overwrite=force)


def _compared(sources: tuple[str, ...], options: Options, quiet: bool) -> list[Comparison]:
    """All images, compared one after another; what cannot be read is told before anything is encoded."""
    from nvpcodec import comparison, imagefile

    images = []
    for source in sources:
        with named(source):
            opened = imagefile.read(read_source(source), max_pixels=options.max_pixels)
        images.append((Path(shown(source, "stdin")).name, opened.image))
    tell = progress_line(quiet, "images")
    tell(0, len(images))
    comparison.prepare(options)
    found = []
    for name, image in images:
        found.append(comparison.compare(name, image, options))
        tell(len(found), len(images))
    return found
