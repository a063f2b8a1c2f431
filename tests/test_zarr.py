"""The codecs of Zarr: real arrays of both formats, in memory, in folders and in fsspec stores."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numcodecs.tests import common
from zarr.codecs import TransposeCodec
from zarr.storage import FsspecStore, LocalStore, MemoryStore

import nvpcodec
from nvpcodec import codec, zoo
from nvpcodec.integrations import chunks
from nvpcodec.integrations.numcodecs import Nvp
from nvpcodec.integrations.zarr import NvpCodec
from nvpcodec.pixels import Kind
from tests.helpers import flat, gradient, noise
from tests.models import small_model_path, small_options

ROOT = Path(__file__).resolve().parent.parent
SMALL = str(small_model_path())
OPTIONS = small_options()

GREY = gradient(Kind.GREY).samples[..., 0]
COLOUR = gradient(Kind.RGB).samples
DEEP = gradient(Kind.GREY, np.uint16).samples[..., 0]

#: Name, array: every shape and dtype that a chunk may have.
ARRAYS = {
    "grey": GREY,
    "one channel": GREY[..., None],
    "grey and alpha": gradient(Kind.GREY_ALPHA).samples,
    "colour": COLOUR,
    "colour and alpha": gradient(Kind.RGBA).samples,
    "16 bits": DEEP,
    "16-bit colour": gradient(Kind.RGB, np.uint16).samples,
    "slices": np.stack([GREY, GREY[::-1], GREY // 2]),
    "one slice": GREY[None],
    "16-bit slices": np.stack([DEEP, DEEP[::-1]]),
    "colour slices": np.stack([COLOUR, COLOUR[:, ::-1]]),
    "time and slices": np.stack([GREY, GREY.T[::-1].reshape(GREY.shape)] * 3).reshape(3, 2, *GREY.shape),
    "narrow": GREY[:, :3],
    "a pixel": GREY[:1, :1],
}
every_array = pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS.keys())


def stored(
    store: Any, array: np.ndarray[Any, Any], chunk: tuple[int, ...], **settings: Any
) -> zarr.Array[Any]:
    """A Zarr v3 array with these values, coded by the small model."""
    created = zarr.create_array(
        store,
        shape=array.shape,
        chunks=chunk,
        dtype=array.dtype,
        serializer=NvpCodec(model=SMALL),
        compressors=None,
        overwrite=True,
        **settings,
    )
    created[...] = array
    return created


def same(left: Any, right: Any) -> bool:
    """Equal values, shape and dtype."""
    return left.dtype == right.dtype and left.shape == right.shape and np.array_equal(left, right)


# --- chunks ------------------------------------------------------------------------------------------------


@every_array
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_chunks_there_and_back(array: np.ndarray[Any, Any], order: Any, byte_order: Any) -> None:
    given = np.asarray(array, dtype=array.dtype.newbyteorder(byte_order), order=order)
    decoded = chunks.decode(chunks.encode(given, OPTIONS), OPTIONS)
    assert np.array_equal(decoded.reshape(array.shape), array)
    assert decoded.tobytes("A") == given.tobytes("A"), "numcodecs compares memory"


def test_a_single_image_is_a_file_as_it_is() -> None:
    assert chunks.encode(COLOUR, OPTIONS) == nvpcodec.encode(COLOUR, options=OPTIONS)


def test_the_table_is_as_documented() -> None:
    """By hand, from docs/integrations.md."""
    stack = noise(6, Kind.RGBA, np.uint16).samples.transpose(2, 0, 1)[:2]
    images = [nvpcodec.encode(array) for array in stack]
    table = b"\x02\x02\x01" + b"".join(two_byte_varint(len(image)) for image in images)
    assert chunks.encode(stack[:, None], OPTIONS) == b"\x8eNVS\x00" + table + b"".join(images)


def two_byte_varint(number: int) -> bytes:
    """Low group first."""
    assert 1 << 7 <= number < 1 << 14
    return bytes((number & 127 | 128, number >> 7))


@pytest.mark.parametrize(
    "array",
    [GREY[0], GREY.astype(np.int16), GREY.astype(float), GREY > 100, GREY[:0], np.zeros((2, 0, 3), np.uint8)],
    ids=lambda array: f"{array.dtype} {array.shape}",
)
def test_arrays_that_no_chunk_holds(array: np.ndarray[Any, Any]) -> None:
    with pytest.raises(nvpcodec.UnsupportedImageError):
        chunks.encode(array, OPTIONS)
    with pytest.raises(nvpcodec.UnsupportedImageError):
        Nvp(SMALL).encode(array)


def test_every_changed_byte_and_every_cut_of_a_chunk_is_refused_or_harmless() -> None:
    """Lengths and images are checked; the leading axes may only change to others of the same product."""
    array = np.stack([GREY[:3, :4], GREY[3:6, :4]])
    data = chunks.encode(array, OPTIONS)
    damaged = [data[:cut] for cut in range(len(data))]
    damaged += [
        data[:at] + bytes((data[at] ^ bit,)) + data[at + 1 :] for at in range(len(data)) for bit in (1, 16)
    ]
    damaged += [data + b"\0"]
    for bad in damaged:
        try:
            decoded = chunks.decode(bad, OPTIONS)
        except nvpcodec.NvpError:
            continue
        assert bad[:5] != data[:5], "only a flag may change unseen"
        assert np.array_equal(decoded, array)


def test_chunks_of_other_images_are_refused() -> None:
    deep = noise(6, Kind.GREY, np.uint16).samples[..., 0]
    images = [nvpcodec.encode(array) for array in (deep, deep[1:])]
    lengths = b"".join(two_byte_varint(len(image)) for image in images)
    with pytest.raises(nvpcodec.DamagedFileError, match="differ"):
        chunks.decode(b"\x8eNVS\0\x01\x02" + lengths + b"".join(images), OPTIONS)
    with pytest.raises(nvpcodec.FormatError, match="palette"):
        chunks.decode(codec.encode_image(gradient(Kind.PALETTE), OPTIONS), OPTIONS)


def test_a_small_chunk_cannot_claim_much_memory() -> None:
    image = nvpcodec.encode(np.zeros((1000, 1000), np.uint8))
    table = b"\x8eNVS\0\x01" + b"\xe8\x07" + bytes((len(image),)) * 1000
    assert len(image) < 128
    with pytest.raises(nvpcodec.ImageTooLargeError, match="1000000000 pixels"):
        chunks.decode(table + image * 1000, OPTIONS)
    for claim in (b"\x01\xff\xff\xff\xff\x7f", b"\x1f", b"\x02\x00\x01", b"\x1e" + b"\x7f" * 30):
        with pytest.raises(nvpcodec.DamagedFileError):
            chunks.decode(b"\x8eNVS\0" + claim + image, OPTIONS)


# --- Zarr v3 -----------------------------------------------------------------------------------------------


@every_array
def test_v3_arrays_come_back(array: np.ndarray[Any, Any]) -> None:
    store = MemoryStore()
    stored(store, array, array.shape)
    opened = zarr.open_array(store, mode="r")
    assert same(opened[...], array)
    assert opened.metadata.to_dict()["codecs"] == ({"name": "nvpcodec", "configuration": {"model": SMALL}},)


@pytest.fixture(params=["folder", "memory", "fsspec memory", "fsspec folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """An empty store of each kind."""
    makers: dict[str, Callable[[], Any]] = {
        "folder": lambda: LocalStore(tmp_path / "a.zarr"),
        "memory": MemoryStore,
        "fsspec memory": lambda: FsspecStore.from_url(f"memory://{tmp_path.name}.zarr"),
        "fsspec folder": lambda: FsspecStore.from_url(
            f"file://{tmp_path}/a.zarr", storage_options={"auto_mkdir": True}
        ),
    }
    return makers[request.param]()


def test_chunks_that_do_not_fit_the_array(store: Any) -> None:
    """Chunks at the borders are filled up; parts are read and written."""
    array = np.stack([noise(seed, Kind.RGB).samples // 8 for seed in range(3)])
    opened = stored(store, array, (2, 16, 20, 3), fill_value=7)
    for part in (np.s_[...], np.s_[1], np.s_[:, 15:17, 19:21], np.s_[2, :, :, 1], np.s_[::2, ::5, ::7]):
        assert same(zarr.open_array(opened.store, mode="r")[part], array[part])
    opened[1:, 10:20, 5:25] = array[1:, 10:20, 5:25] = 255 - array[1:, 10:20, 5:25]
    assert same(zarr.open_array(opened.store, mode="r")[...], array)


def test_sharding(store: Any) -> None:
    array = np.stack([noise(seed, Kind.GREY, np.uint16).samples[..., 0] for seed in range(4)])
    opened = stored(store, array, (1, 8, 16), shards=(2, 24, 48))
    assert same(zarr.open_array(opened.store, mode="r")[...], array)
    assert same(opened[3, 7:9, 15:17], array[3, 7:9, 15:17])
    opened[2, 3:5, 30] = array[2, 3:5, 30] = 9
    assert same(opened[...], array)


def test_empty_chunks_are_not_stored() -> None:
    store: dict[str, Any] = {}
    array = np.full((40, 40), 7, np.uint8)
    array[33, 3] = 8
    opened = stored(MemoryStore(store), array, (10, 10), fill_value=7)
    assert [key for key in store if key.startswith("c/")] == ["c/3/0"]
    assert same(opened[...], array)
    opened.resize((50, 60))
    assert np.all(opened[40:] == 7)


def test_arrays_may_grow_from_nothing() -> None:
    opened = zarr.create_array(
        MemoryStore(), shape=(0, *GREY.shape), chunks=(1, *GREY.shape), dtype="uint8",
        serializer=NvpCodec(model=SMALL), compressors=None,
    )  # fmt: skip
    for slice_ in (GREY, GREY[::-1]):
        opened.append(slice_[None])
    assert same(opened[...], np.stack([GREY, GREY[::-1]]))


def test_planes_first_by_a_transpose() -> None:
    """The codec sees what the filters before it leave: colour, not three grey slices."""
    planes = np.ascontiguousarray(np.moveaxis(COLOUR, 2, 0))
    store: dict[str, Any] = {}
    opened = stored(MemoryStore(store), planes, planes.shape, filters=[TransposeCodec(order=(1, 2, 0))])
    assert same(opened[...], planes)
    assert nvpcodec.info(store["c/0/0/0"].to_bytes()).kind == "rgb"


@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_byte_order_is_kept(dtype: str) -> None:
    array = DEEP.astype(dtype)
    assert same(stored(MemoryStore(), array, (10, 10))[...], array)


def test_chunks_of_one_channel_of_many() -> None:
    assert same(stored(MemoryStore(), COLOUR, (16, 16, 1))[...], COLOUR)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((8, 8), "float32"), ((8, 8), "int16"), ((8, 8), "bool"), ((8, 8), "uint32"), ((8,), "uint8")],
)
@pytest.mark.parametrize("sharded", [False, True])
def test_other_arrays_are_refused_when_made(shape: tuple[int, ...], dtype: str, sharded: bool) -> None:
    store: dict[str, Any] = {}
    with pytest.raises(nvpcodec.UnsupportedImageError, match="nvpcodec codes"):
        zarr.create_array(
            MemoryStore(store), shape=shape, chunks=shape, shards=shape if sharded else None, dtype=dtype,
            serializer=NvpCodec(), compressors=None,
        )  # fmt: skip
    assert not store


def test_damage_is_refused() -> None:
    store: dict[str, Any] = {}
    opened = stored(MemoryStore(store), np.stack([GREY, GREY]), (1, *GREY.shape))
    first = store["c/0/0/0"]
    other = chunks.encode(GREY[None, 1:], OPTIONS)
    deeper = chunks.encode(DEEP[None], OPTIONS)
    larger = chunks.encode(np.concatenate([GREY, GREY])[None], OPTIONS)
    for bad in (first.to_bytes()[:-1], b"", b"text", other, deeper, larger):
        store["c/0/0/0"] = type(first).from_bytes(bad)
        with pytest.raises(nvpcodec.NvpError):
            opened[0]
        assert same(opened[1], GREY)


def test_configuration() -> None:
    assert NvpCodec.from_dict({"name": "nvpcodec"}) == NvpCodec() == NvpCodec(model="fast")
    assert NvpCodec.from_dict(NvpCodec(model=SMALL).to_dict()) == NvpCodec(model=SMALL)
    assert NvpCodec(model="realnvp").to_dict() == {"name": "nvpcodec", "configuration": {"model": "realnvp"}}
    for bad in ({"model": ""}, {"model": 3}, {"effort": 9}):
        with pytest.raises(nvpcodec.InputError):
            NvpCodec.from_dict({"name": "nvpcodec", "configuration": bad})
    assert not NvpCodec().is_fixed_size
    with pytest.raises(nvpcodec.ModelError, match="foto"):
        zarr.create_array(
            MemoryStore(),
            data=COLOUR,
            chunks=COLOUR.shape,
            serializer=NvpCodec(model="foto"),
            compressors=None,
        )


def test_the_shipped_models_code_chunks() -> None:
    for model in zoo.CURRENT:
        store: dict[str, Any] = {}
        opened = zarr.create_array(
            MemoryStore(store),
            data=COLOUR,
            chunks=COLOUR.shape,
            serializer=NvpCodec(model=model),
            compressors=None,
        )
        assert same(opened[...], COLOUR)
        assert store["c/0/0/0"].to_bytes() == nvpcodec.encode(COLOUR, options=nvpcodec.Options(model=model))


# --- Zarr v2 and numcodecs ---------------------------------------------------------------------------------


@every_array
def test_numcodecs_checks(array: np.ndarray[Any, Any]) -> None:
    given = array[..., 0] if array.shape[-1] == 1 and array.ndim > 2 else array
    common.check_encode_decode_array(given, Nvp(SMALL))
    common.check_encode_decode_array(np.asfortranarray(given), Nvp(SMALL))


def test_numcodecs_manners() -> None:
    common.check_config(Nvp())
    common.check_config(Nvp(model="realnvp"))
    assert repr(Nvp("realnvp")) == "Nvp(model='realnvp')"
    assert Nvp().get_config() == {"id": "nvpcodec", "model": "fast"}
    with pytest.raises(nvpcodec.InputError):
        Nvp("")


def test_numcodecs_decodes_every_kind_of_buffer() -> None:
    encoded = Nvp(SMALL).encode(COLOUR)
    for form in (encoded, bytearray(encoded), memoryview(encoded), np.frombuffer(encoded, np.int8)):
        assert same(Nvp(SMALL).decode(form), COLOUR)
    out = bytearray(COLOUR.nbytes)
    Nvp(SMALL).decode(encoded, out=out)
    assert bytes(out) == COLOUR.tobytes()


@every_array
@pytest.mark.parametrize("order", ["C", "F"])
def test_v2_arrays_come_back(array: np.ndarray[Any, Any], order: Any) -> None:
    for dtype in {array.dtype, array.dtype.newbyteorder(">")}:
        opened = zarr.create_array(
            MemoryStore(), shape=array.shape, chunks=array.shape, dtype=dtype, compressors=Nvp(SMALL),
            zarr_format=2, order=order,
        )  # fmt: skip
        opened[...] = array
        again = zarr.open_array(opened.store, mode="r")
        assert same(again[...], array.astype(dtype))
        assert again.metadata.to_dict()["compressor"] == {"id": "nvpcodec", "model": SMALL}


def test_v2_chunks_that_do_not_fit_the_array(store: Any) -> None:
    array = np.stack([noise(seed, Kind.RGB).samples // 8 for seed in range(3)])
    opened = zarr.create_array(
        store, shape=array.shape, chunks=(2, 16, 20, 3), dtype=array.dtype, compressors=Nvp(SMALL),
        zarr_format=2, fill_value=7,
    )  # fmt: skip
    opened[...] = array
    assert same(zarr.open_array(opened.store, mode="r")[:, 3:18, 5:33], array[:, 3:18, 5:33])


# --- registered, and used by many at once ------------------------------------------------------------------


def test_both_are_found_by_their_entry_points(tmp_path: Path) -> None:
    """A process that imports zarr alone reads arrays of both formats, given an installation's metadata."""
    settings: tuple[dict[str, Any], ...] = (
        {"zarr_format": 2, "compressors": Nvp()},
        {"zarr_format": 3, "serializer": NvpCodec(), "compressors": None},
    )
    for each in settings:
        store = LocalStore(tmp_path / f"{each['zarr_format']}.zarr")
        zarr.create_array(store, data=COLOUR, chunks=COLOUR.shape, **each)
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    lines = [
        f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items())
        for group, points in declared.items()
    ]
    installed = tmp_path / "site" / "nvpcodec-0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: nvpcodec\nVersion: 0\n")
    (installed / "entry_points.txt").write_text("\n".join(lines))
    program = """
import hashlib, sys, zarr
assert "nvpcodec" not in sys.modules
for version in (3, 2):
    print(hashlib.sha256(zarr.open_array(f"{version}.zarr", mode="r")[...].tobytes()).hexdigest())
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(tmp_path / "site"), str(ROOT)))},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [hashlib.sha256(COLOUR.tobytes()).hexdigest()] * 2


def test_chunks_are_coded_by_many_threads(tmp_path: Path) -> None:
    array = np.concatenate([np.concatenate([gradient().samples, noise(1).samples // 4])] * 4)
    with zarr.config.set({"async.concurrency": 16, "threading.max_workers": 6}):
        opened = stored(LocalStore(tmp_path / "a.zarr"), array, (12, 17, 3))
        assert same(zarr.open_array(opened.store, mode="r")[...], array)
    for row in range(-(-array.shape[0] // 12)):
        chunk = array[12 * row : 12 * row + 12, :17]
        file = (tmp_path / "a.zarr" / "c" / str(row) / "0" / "0").read_bytes()
        assert file == nvpcodec.encode(chunk, options=OPTIONS)


def test_threads_share_one_model_and_one_coder() -> None:
    """All start together, with nothing prepared: the same bytes, and everything made once."""
    images = [COLOUR, np.rot90(COLOUR), flat().samples, noise(5).samples // 8] * 2
    expected = [nvpcodec.encode(image, options=OPTIONS) for image in images]
    zoo._loaded.cache_clear()
    codec._coder.cache_clear()
    start = threading.Barrier(len(images))

    def there_and_back(image: np.ndarray[Any, Any]) -> tuple[bytes, Any]:
        start.wait()
        data = nvpcodec.encode(image, options=OPTIONS)
        return data, nvpcodec.decode(data, options=OPTIONS)

    with ThreadPoolExecutor(len(images)) as pool:
        results = list(pool.map(there_and_back, images))
    assert [data for data, _ in results] == expected
    assert all(same(decoded, image) for (_, decoded), image in zip(results, images, strict=True))
    assert zoo._loaded.cache_info().misses == 1
    assert codec._coder.cache_info().misses == 1
