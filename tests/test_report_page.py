"""The report as a person sees it: rendered by a real browser, in both themes, narrow and wide."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage

from nvpcodec import cli, imagefile, png
from nvpcodec.pixels import Kind
from tests import chromium
from tests.helpers import gradient, image_of, text_like

CAT = Path(__file__).resolve().parent.parent / "demo" / "chelsea.png"
#: A name that would break a page, or run in it, if it were not escaped.
HOSTILE = "<b onload=alert(1)>&\"'.png"


@dataclass(frozen=True)
class Made:
    """A report and the figures that were printed beside it."""

    page: Path
    figures: dict[str, Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("report")
    whole = imagefile.read(CAT.read_bytes(), max_pixels=10**6).image
    fur = image_of(whole.samples[60:156, 90:218].copy(), Kind.RGB)
    images = {
        "fur.png": fur,
        HOSTILE: text_like(),
        "deep.png": gradient(Kind.RGB, np.uint16),
        "colours.png": gradient(Kind.PALETTE),
        "shape.png": gradient(Kind.BILEVEL),
        "glass.png": gradient(Kind.GREY_ALPHA),
    }
    for name, image in images.items():
        (folder / name).write_bytes(png.write(image))
    page, names = folder / "report.html", [str(folder / name) for name in images]
    with pytest.MonkeyPatch.context() as patch:
        stdout = io.StringIO()
        patch.setattr("sys.stdout", stdout)
        assert cli.run(["report", *names, "-o", str(page), "--json", "-q", "--device", "cpu"]) == 0
    return Made(page, json.loads(stdout.getvalue()))


@pytest.fixture(scope="module")
def browser(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Chromium]:
    if chromium.PATH is None:
        pytest.skip("there is no chromium; apt-get install chromium")
    opened = chromium.Chromium(tmp_path_factory.mktemp("profile"))
    try:
        opened.open(made.page)
        yield opened
    finally:
        opened.close()


def test_figures(made: Made) -> None:
    images = {image["name"]: image for image in made.figures["images"]}
    fur, totals = images["fur.png"], made.figures["totals"]
    assert set(fur["peer_bytes"]) == {"PNG", "WebP", "JPEG XL"}
    assert fur["file_bytes"] < fur["peer_bytes"]["PNG"]
    assert fur["ratio_to_best_peer"] == fur["file_bytes"] / min(
        size for size in fur["peer_bytes"].values() if size is not None
    )
    parts = ("theory_bits", "coder_bits", "initial_bits", "side_bits", "container_bits")
    assert sum(fur[part] for part in parts) == pytest.approx(8 * fur["file_bytes"])
    # No phase is large enough for a fit, so all of the theory is of pixels.
    assert sum(fur["scale_bits"]) == pytest.approx(fur["theory_bits"])
    assert images["deep.png"]["peer_bytes"]["WebP"] is None
    assert totals["peer_bytes"]["WebP"] is None
    assert totals["file_bytes"] == sum(image["file_bytes"] for image in images.values())
    ratios = [image["ratio_to_best_peer"] for image in made.figures["images"]]
    assert ratios == sorted(ratios, reverse=True)


def test_the_page_asks_for_nothing_and_has_no_errors(browser: chromium.Chromium, made: Made) -> None:
    requests = [
        said["request"]["url"] for name, said in browser.events if name == "Network.requestWillBeSent"
    ]
    assert {url for url in requests if not url.startswith("data:")} == {made.page.as_uri()}
    told = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Network.loadingFailed")
    assert [event for event in browser.events if event[0] in told] == []
    assert "http" not in made.page.read_text(encoding="utf-8").replace("http-equiv", "")


def test_the_worst_image_comes_first(browser: chromium.Chromium, made: Made) -> None:
    names = browser.value("[...document.querySelectorAll('article h2')].map(title => title.textContent)")
    assert names == [image["name"] for image in made.figures["images"]]
    assert HOSTILE in names
    ratios = browser.value("[...document.querySelectorAll('article')].map(each => +each.dataset.ratio)")
    assert ratios == sorted(ratios, reverse=True)
    links = browser.value("[...document.querySelectorAll('li a')].map(link => link.getAttribute('href'))")
    assert len(links) == 6
    assert browser.value(f"{json.dumps(links)}.every(link => document.querySelector(link))")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_looks_right(browser: chromium.Chromium, made: Made, width: int, theme: str) -> None:
    browser.look(width, theme)
    sizes = browser.value(
        "Promise.all([...document.images].map(image => image.decode()))"
        ".then(() => [...document.images].map(image => [image.naturalWidth, image.clientWidth]))"
    )
    assert len(sizes) == len(made.figures["images"]) + 1, "one map: of the only image that the flow codes"
    assert all(natural > 0 and shown > 100 for natural, shown in sizes)
    assert browser.value("document.documentElement.scrollWidth") <= width, "nothing sticks out"
    with PillowImage.open(io.BytesIO(browser.screenshot())) as picture:
        corner = picture.convert("L").getpixel((2, 2))
    assert isinstance(corner, int)
    assert (corner > 200) if theme == "light" else (corner < 60)


def test_a_page_or_json_must_be_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["report", str(CAT)]) == 2
    assert "-o report.html" in capsys.readouterr().err
    (tmp_path / "report.html").write_text("mine")
    assert cli.run(["report", str(CAT), "-o", str(tmp_path / "report.html")]) == 2
    assert (tmp_path / "report.html").read_text() == "mine"
    assert cli.run(["report", "--json", str(CAT), "-o", "-"]) == 2
