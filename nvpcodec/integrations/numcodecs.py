"""The codec for numcodecs, and so for Zarr v2 arrays, under the id ``nvpcodec``.

numcodecs finds it by its entry point; importing this module registers it as well.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numcodecs.abc import Codec
from numcodecs.compat import ensure_bytes, ensure_ndarray, ndarray_copy
from numcodecs.registry import register_codec

from nvpcodec.integrations import chunks
from nvpcodec.options import DEFAULT_MODEL, Options


class Nvp(Codec):  # type: ignore[misc]  # numcodecs ships no types
    """Lossless image compression of uint8 and uint16 chunks (..., H, W) or (..., H, W, C), C from 1 to 4.

    Fortran order and big-endian samples come back as they were: numcodecs promises equal memory.

    Parameters
    ----------
    model
        As in ``nvpcodec.Options``.  The device is not stored: ``NVPCODEC_DEVICE`` chooses it.

    Raises
    ------
    InputError
        ``model`` is empty.
    """

    codec_id = "nvpcodec"

    def __init__(self, model: str = DEFAULT_MODEL) -> None:
        Options(model=model)
        self.model = model

    def encode(self, buf: Any) -> bytes:
        """The bytes of an array; flat buffers are refused, as an image needs its shape.

        Raises
        ------
        UnsupportedImageError, ImageTooLargeError, ModelError, DeviceError
            As for ``nvpcodec.encode``.
        """
        return chunks.encode(ensure_ndarray(buf), Options(model=self.model))

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The array in these bytes, or ``out`` filled with it.

        Raises
        ------
        FormatError, ImageTooLargeError, DeviceError
            As for ``nvpcodec.decode``.
        """
        decoded: np.ndarray[Any, Any] = chunks.decode(ensure_bytes(buf), Options(model=self.model))
        return ndarray_copy(decoded, out)


register_codec(Nvp)
