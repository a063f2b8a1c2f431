"""The loaders read the real formats, made here in small; the table adds up."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import published
import theory
from common import Picture
from datasets import box_crops, load_set
from nvpcodec.flow import saved
from nvpcodec.options import DEFAULT_MODEL

Samples = NDArray[np.uint8]


def images(count: int, side: int) -> Samples:
    """Different images, and different colours."""
    y, x, c = np.ogrid[:side, :side, :3]
    made = [(3 * x + 5 * y + 70 * c + 31 * i) % 256 for i in range(count)]
    return np.stack(made).astype(np.uint8)


def rows(stack: Samples) -> Samples:
    """(n, side, side, 3) as the data sets have it: all red samples, then green, then blue."""
    return stack.transpose(0, 3, 1, 2).reshape(len(stack), -1)


def loaded(path: Path) -> Samples:
    return np.stack([picture.samples for picture in load_set(path)])


@pytest.mark.parametrize("text", [str, lambda name: name.encode()], ids=["text", "bytes"])
def test_cifar_of_python(tmp_path: Path, text: type[str]) -> None:
    stack = images(5, 32)
    record = {text("data"): rows(stack), text("labels"): [1, 2, 3, 4, 5], text("filenames"): ["a.png"] * 5}
    path = tmp_path / "test_batch"
    path.write_bytes(pickle.dumps(record, protocol=2))
    assert np.array_equal(loaded(path), stack)
    assert load_set(path)[3].name == "test_batch-3"


#: `{"data": array}`, uint8 (1, 3072) of zeros, as Python 2 and NumPy 1 pickled the batches: texts are bytes.
OLD_PICKLE = (
    b"\x80\x02}q\x01U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00"
    b"\x85q\x05U\x01bq\x06\x87q\x07Rq\x08(K\x01K\x01M\x00\x0c\x86q\tcnumpy\ndtype\nq\nU\x02u1q\x0bK\x00K"
    b"\x01\x87q\x0cRq\r(K\x03U\x01|q\x0eNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0fb\x89T\x00\x0c\x00\x00"
    + bytes(3072)
    + b"q\x10tq\x11bs."
)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # NumPy 2 wants the new name of its module
def test_cifar_as_it_was_pickled_long_ago(tmp_path: Path) -> None:
    path = tmp_path / "data_batch_1"
    path.write_bytes(OLD_PICKLE)
    assert np.array_equal(loaded(path), np.zeros((1, 32, 32, 3), np.uint8))


def test_cifar_binary(tmp_path: Path) -> None:
    stack = images(4, 32)
    labels = np.arange(4, dtype=np.uint8)[:, None]
    path = tmp_path / "test_batch.bin"
    path.write_bytes(np.concatenate([labels, rows(stack)], 1).tobytes())
    assert np.array_equal(loaded(path), stack)


@pytest.mark.parametrize("side", [32, 64])
def test_small_imagenet(tmp_path: Path, side: int) -> None:
    stack = images(3, side)
    path = tmp_path / "val_data.npz"
    np.savez(path, data=rows(stack), labels=np.arange(1, 4), mean=np.zeros(3 * side**2))
    assert np.array_equal(loaded(path), stack)


def test_folders_and_files_of_images(tmp_path: Path) -> None:
    stack = images(2, 32)
    for index, image in enumerate(stack):
        Image.fromarray(image).save(tmp_path / f"{index}.png")
    assert np.array_equal(loaded(tmp_path), stack)
    assert np.array_equal(loaded(tmp_path / "1.png"), stack[1:])


class Command:
    """Its pickle runs a command where it is read without care."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        import os

        return os.system, ("echo this must not run",)


def npz_of(**arrays: object) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type]  # wrong ones are the point
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("batch", pickle.dumps({"data": Command()}), r"it calls for posix\.system"),
        ("batch", pickle.dumps({"labels": [1]}), "no batch of CIFAR-10"),
        ("batch", b"", "no batch of CIFAR-10"),
        ("batch", pickle.dumps({"data": np.zeros((2, 3000), np.uint8)}), "no square RGB images"),
        ("batch", pickle.dumps({"data": "text"}), "no square RGB images"),
        ("batch.bin", bytes(3072), "no whole number"),
        ("batch.bin", b"", "no whole number"),
        ("batch.npz", npz_of(labels=[1]), "no array `data`"),
        ("batch.npz", b"PK", "no array `data`"),
        ("batch.npz", npz_of(data=np.zeros((2, 3072))), r"float64 \(2, 3072\)"),
        ("batch.npz", npz_of(data=np.array([{}], object)), "no array `data`"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, name: str, data: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message):
        load_set(path)


def test_crops_are_averages_of_blocks() -> None:
    blocks = images(1, 8)[0]
    large = blocks.repeat(4, 0).repeat(4, 1)
    large[0, 0] = 7  # one of sixteen
    grey = Picture("grey", np.zeros((64, 64, 1), np.uint8))
    crops = box_crops([Picture("photo", large), grey], side=3, factor=4)
    assert [crop.name for crop in crops] == ["photo-0-0", "photo-0-1", "photo-1-0", "photo-1-1"]
    expected = blocks.copy()
    expected[0, 0] = (15 * blocks[0, 0].astype(int) + 7 + 8) // 16
    assert np.array_equal(crops[0].samples, expected[:3, :3])
    assert np.array_equal(crops[3].samples, expected[3:6, 3:6])


def test_published_figures_are_in_order() -> None:
    """Each row has a source and its figures are bits/dim of one size of mistake: none is a typing error."""
    assert len({row.name for row in published.ROWS}) == len(published.ROWS)
    for row in published.ROWS:
        assert row.kind in (published.THEORY, published.CODED)
        assert any(venue in row.source for venue in ("ICML 20", "ICLR 20", "NeurIPS 20", "CVPR 20"))
        if row.imagenet32 is not None and row.imagenet64 is not None and row.cifar10 is not None:
            assert 2.5 < row.cifar10 < row.imagenet64 < row.imagenet32 < 4.5
    figures = {row.name: (row.cifar10, row.imagenet32, row.imagenet64) for row in published.ROWS}
    assert figures["RealNVP"] == (3.49, 4.28, 3.98)


def photograph(folder: Path) -> Path:
    demo = Path(__file__).resolve().parents[1] / "demo" / "coffee.png"
    with Image.open(demo) as image:
        image.convert("RGB").crop((0, 0, 400, 300)).save(folder / "coffee.png")
    return folder


def test_theory_and_practice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--box", "8", "--sides", "32", "--models", DEFAULT_MODEL, str(photograph(tmp_path))]
    assert theory.main(arguments) == 0
    output = capsys.readouterr().out
    (row,) = json.loads(output.splitlines()[-1])
    assert (row["images"], row["dims"], row["lossless"]) == (1, 3072, True)
    assert row["integer_bits"] <= row["files_bits"] + 8
    assert row["files_bits"] % 8 == row["archive_bits"] % 8 == 0
    if row["float_bits"] is not None:
        assert 0.97 < row["float_bits"] / row["integer_bits"] < 1.03
    assert "RealNVP               3.49        4.28        3.98    theory" in output


def test_a_flow_of_the_library_has_a_density_and_no_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {"shape": (3, 32, 32), "scales": 1, "width": 4, "blocks": 1}
    torch.manual_seed(1)
    flow = saved.build("realnvp", sizes)
    saved.save(tmp_path / "small.pt", flow, "realnvp", sizes)
    models = str(tmp_path / "small.pt")
    arguments = ["--box", "4", "--sides", "32,64", "--models", models, str(photograph(tmp_path))]
    assert theory.main(arguments) == 0
    output = capsys.readouterr().out
    of_its_size, of_another = json.loads(output.splitlines()[-1])
    assert of_its_size["files_bits"] is None
    assert 3 < of_its_size["float_bits"] / of_its_size["dims"] < 12
    assert of_another["float_bits"] is None
    assert "32×32, small" in output


def test_a_folder_without_images_is_a_mistake(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        theory.main([str(tmp_path)])
    assert "a set has no images" in capsys.readouterr().err
