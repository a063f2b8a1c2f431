"""docs/archive.md is enough to read an archive: a second reader reads its example and what we write."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest

from nvpcodec import Archive, archive_index, archive_writer, chains, codec, container, zoo
from nvpcodec.archive_index import Block, Head, Member
from nvpcodec.options import Options
from nvpcodec.pixels import Density, Image, Kind, Metadata, Samples
from tests import second_archive
from tests.golden import make
from tests.helpers import DEPTHS, flat, gradient, image_of, noise
from tests.models import small_model, small_model_path, small_options
from tests.second_decoder import Model, RefusedError, read_model

TEXT = (Path(__file__).parent.parent / "docs" / "archive.md").read_text(encoding="utf-8")
METADATA = Metadata(icc=b"profile" * 9, density=Density(1, 2, 0))
SIZES = [(9, 30), (1, 1), (20, 13), (4, 4)]


def models() -> dict[bytes, Model]:
    paths = [small_model_path(), *zoo.WEIGHTS.glob(f"realnvp-{zoo.CURRENT['realnvp']}.safetensors")]
    return dict(read_model(path.read_bytes()) for path in paths)


def written(images: dict[str, Image]) -> bytes:
    stream = io.BytesIO()
    archive_writer.write_new(stream, images.items(), small_options())
    return stream.getvalue()


def grainy(seed: int, kind: Kind, height: int, width: int) -> Image:
    grain = np.random.default_rng(seed).integers(0, 9, (height, width, kind.channels))
    return image_of((gradient(kind, height=height, width=width).samples // 2 + 40 + grain).astype("u1"), kind)


def test_the_example() -> None:
    example = TEXT.split("\n## A whole archive\n")[1]
    lines = re.findall(r"^    ((?:[0-9a-f]{2} ?)+?)  +\S", example, re.MULTILINE)
    data = bytes.fromhex("".join(lines))
    expected = {"a": [[10, 20, 30]], "b/c": [[40, 50, 60], [70, 80, 90]]}
    assert {name: np.asarray(image).tolist() for name, image in Archive(data).items()} == expected
    again = second_archive.read_archive(data, {})
    assert {name: image[..., 0].tolist() for name, image in again.items()} == expected


def test_constants_are_those_of_the_program() -> None:
    assert archive_index.HEAD_BYTES == 25
    assert archive_index.MAGIC.hex(" ") in TEXT
    assert archive_index.MAX_IMAGES == 2**20
    assert archive_index.MAX_CHAIN_IMAGES == 4096
    assert archive_index.MAX_NAME_BYTES == 1024
    assert archive_index.MAX_INDEX_BYTES == 2**26
    assert f"at most {archive_writer.CHAIN_IMAGES} images" in TEXT
    assert (archive_writer.CHAIN_ROWS, archive_writer.CHAIN_PIXELS) == (2**12, 2**16)
    assert "at most 2^12 rows and 2^16 pixels" in TEXT


def test_all_kinds_by_the_second_reader() -> None:
    images: dict[str, Image] = {"large": noise(1, Kind.GREY, height=257, width=256)}
    for kind, dtypes in DEPTHS.items():
        for dtype in dtypes:
            for n, (height, width) in enumerate(SIZES[1:3]):
                name = f"{kind.name}/{dtype.__name__}-{n}"
                images[f"{name}/noise"] = noise(n, kind, dtype, height, width)
                images[f"{name}/slope"] = gradient(kind, dtype, height, width)
    plain = flat(8, 12, 12)
    images["with metadata"] = Image(plain.samples, plain.kind, metadata=METADATA)
    found = second_archive.read_archive(written(images), models())
    assert set(found) == set(images)
    for name, image in images.items():
        assert np.array_equal(found[name], image.samples), name


def flow_archive(images: list[Image], options: Options) -> bytes:
    """An archive of one chain that the flow coded, be it the smaller one or not."""
    kind, samples = images[0].kind, [image.samples for image in images]
    part, _ = chains._encode_flow(samples, kind, codec.coder_of(options))
    model_id = zoo.by_name(options.model).model_id
    content = chains._to_bytes(chains._Chain(part, model_id, b"", codec.pixel_checksum(*samples)))
    members = tuple(Member(str(n), image.width, image.height) for n, image in enumerate(images))
    start = archive_index.HEAD_BYTES
    block = Block(archive_index.CHAIN, kind, 8, start, len(content), container.checksum(content), members)
    index = archive_index.index_to_bytes([block])
    head = Head(block.end, len(index), container.checksum(index))
    return archive_index.head_to_bytes(head) + content + index


@pytest.mark.parametrize("kind", sorted(container.FLOW_KINDS))
def test_chains_of_the_phase_flow_by_the_second_reader(kind: int) -> None:
    images = [grainy(n, Kind(kind), *size) for n, size in enumerate(SIZES)]
    data = flow_archive(images, small_options())
    assert small_model().model_id in data
    found = second_archive.read_archive(data, models())
    for n, image in enumerate(images):
        assert np.array_equal(found[str(n)], image.samples)


@pytest.mark.parametrize("kind", [Kind.RGB, Kind.RGBA])
def test_chains_of_what_a_jpeg_decoder_made_by_the_second_reader(kind: Kind) -> None:
    whole = make.jpeg_coloured(kind)
    images = [
        Image(np.ascontiguousarray(whole.samples[at : at + 30, 40:75], np.uint8), kind) for at in (0, 31)
    ]
    data = flow_archive(images, small_options())
    assert data[archive_index.HEAD_BYTES] == container.MODE_YCBCR
    found = second_archive.read_archive(data, models())
    for n, image in enumerate(images):
        assert np.array_equal(found[str(n)], image.samples)


@pytest.mark.parametrize("kind", [Kind.GREY, Kind.RGB])
def test_chains_of_realnvp_by_the_second_reader(kind: Kind) -> None:
    images = [grainy(n, kind, *size) for n, size in enumerate([(12, 9), (1, 3), (8, 8)])]
    data = flow_archive(images, Options(model="realnvp", device="cpu"))
    found = second_archive.read_archive(data, models())
    opened = Archive(data, options=Options(device="cpu"))
    for n, image in enumerate(images):
        assert np.array_equal(found[str(n)], image.samples)
        assert opened.image(str(n)).equals(image)


def test_what_the_program_refuses_the_second_reader_refuses() -> None:
    samples: Samples = np.arange(12, dtype=np.uint8).reshape(3, 4, 1)
    data = written({"a": Image(samples, Kind.GREY), "b": Image(samples, Kind.GREY)})
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 1 << position % 8
        with pytest.raises(RefusedError):
            second_archive.read_archive(bytes(changed), {})
