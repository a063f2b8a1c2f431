"""Other codecs: what they can hold they hold without loss, and what they cannot is said."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest
from PIL import Image as PillowImage

from nvpcodec import arrays, peers
from nvpcodec.pixels import Image, Kind
from tests.helpers import EVERY_KIND, gradient


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bytes]]:
    """Format and bytes of all that Pillow saves."""
    files: list[tuple[str, bytes]] = []
    save = PillowImage.Image.save

    def keep(picture: PillowImage.Image, stream: io.BytesIO, **settings: object) -> None:
        save(picture, stream, **settings)  # type: ignore[arg-type]
        files.append((str(settings["format"]), stream.getvalue()))

    monkeypatch.setattr(PillowImage.Image, "save", keep)
    return files


@pytest.mark.parametrize(("kind", "dtype"), EVERY_KIND)
def test_they_lose_nothing(
    saved: list[tuple[str, bytes]], kind: Kind, dtype: type[np.unsignedinteger]
) -> None:
    image = gradient(kind, dtype)
    sizes = peers.measure(image)
    assert len(saved) == sum(sizes[name].file_bytes is not None for name in ("PNG", "WebP"))
    for _, data in saved:
        with PillowImage.open(io.BytesIO(data)) as picture:
            assert_shows(picture, image)
    assert sizes["JPEG XL"].file_bytes


def assert_shows(picture: PillowImage.Image, image: Image) -> None:
    """The picture shows the samples of the image, grey perhaps as equal red, green and blue."""
    shown = arrays.from_image(image)
    if shown.dtype == np.uint16:
        assert np.array_equal(np.asarray(picture), shown)
        return
    expected = PillowImage.fromarray(shown).convert("RGBA")
    assert np.array_equal(np.asarray(picture.convert("RGBA")), np.asarray(expected))


def test_what_cannot_be_held_is_said() -> None:
    sizes = peers.measure(gradient(Kind.RGB, np.uint16))
    assert sizes["WebP"].file_bytes is None
    assert "cannot hold" in sizes["WebP"].why_not


def test_a_codec_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    size = peers.measure(gradient())["JPEG XL"]
    assert (size.file_bytes, size.why_not) == (None, "imagecodecs is not installed")
