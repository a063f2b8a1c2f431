"""The codec for Zarr v3: chunks of arrays to bytes, under the name ``nvpcodec``.

zarr-python finds it by its entry point; importing this module registers it as well.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from zarr.abc.codec import ArrayBytesCodec
from zarr.registry import register_codec

from nvpcodec.errors import DamagedFileError, InputError
from nvpcodec.integrations import chunks
from nvpcodec.options import DEFAULT_MODEL, Options

if TYPE_CHECKING:
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer, NDBuffer

NAME = "nvpcodec"


@dataclass(frozen=True, kw_only=True)
class NvpCodec(ArrayBytesCodec):
    """Lossless image compression of uint8 and uint16 chunks (..., H, W) or (..., H, W, C), C from 1 to 4.

    Parameters
    ----------
    model
        As in ``nvpcodec.Options``.  The device is not stored: ``NVPCODEC_DEVICE`` chooses it.

    Raises
    ------
    InputError
        ``model`` is no string, or empty.

    Examples
    --------
    >>> array = zarr.create_array(
    ...     "slices.zarr", shape=(100, 512, 512), chunks=(10, 512, 512), dtype="uint16",
    ...     serializer=NvpCodec(), compressors=None)
    """

    model: str = DEFAULT_MODEL

    is_fixed_size = False

    def __post_init__(self) -> None:
        if not isinstance(self.model, str):
            raise InputError(f"the model of the codec is {self.model!r}; use a name or a path")
        Options(model=self.model)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The codec that array metadata name.

        Raises
        ------
        InputError
            They set something else than ``model``, or that to no good value.
        """
        configuration = data.get("configuration") or {}
        if unknown := configuration.keys() - {"model"}:
            raise InputError(f"the codec {NAME} has no setting {min(unknown)!r}; it has model")
        return cls(**configuration)

    def to_dict(self) -> dict[str, Any]:
        """The codec as array metadata name it."""
        return {"name": NAME, "configuration": {"model": self.model}}

    def evolve_from_array_spec(self, array_spec: ArraySpec) -> Self:
        """Refuse arrays that cannot be coded; zarr asks this of every codec when it makes or opens an array.

        Raises
        ------
        UnsupportedImageError
            The dtype is neither uint8 nor uint16, or there are fewer than two axes.
        """
        chunks.check(array_spec.dtype.to_native_dtype(), len(array_spec.shape))
        return self

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Nobody knows before it is done."""
        raise NotImplementedError

    async def _encode_single(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        return await asyncio.to_thread(self._encode_sync, chunk_data, chunk_spec)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        return await asyncio.to_thread(self._decode_sync, chunk_data, chunk_spec)

    def _encode_sync(self, chunk_data: NDBuffer, chunk_spec: ArraySpec) -> Buffer:
        # Order and byte order in memory are no part of what a chunk of Zarr v3 means.
        samples = chunk_data.as_numpy_array()
        native = np.ascontiguousarray(samples, samples.dtype.newbyteorder("="))
        options = Options(model=self.model, max_pixels=native.size)
        return chunk_spec.prototype.buffer.from_bytes(chunks.encode(native, options))

    def _decode_sync(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> NDBuffer:
        options = Options(model=self.model, max_pixels=max(1, math.prod(chunk_spec.shape)))
        decoded = chunks.decode(chunk_data.to_bytes(), options)
        expected = chunk_spec.dtype.to_native_dtype()
        with_channel = (*decoded.shape, 1)
        if (
            chunk_spec.shape not in (decoded.shape, with_channel)
            or decoded.dtype.itemsize != expected.itemsize
        ):
            raise DamagedFileError(
                f"the chunk holds {decoded.dtype} {decoded.shape}, the array expects {expected} "
                f"{chunk_spec.shape}; get a good copy"
            )
        samples = decoded.reshape(chunk_spec.shape).astype(expected, copy=False)
        return chunk_spec.prototype.nd_buffer.from_numpy_array(samples)


register_codec(NAME, NvpCodec)
