"""Lossless image compression with a learned flow: arrays to bytes and back, exactly."""

from nvpcodec.api import (
    decode,
    decode_batch,
    decode_tensor,
    encode,
    encode_batch,
    info,
    read,
    read_preview,
    read_region,
    score,
    write,
)
from nvpcodec.archive import Archive, pack
from nvpcodec.errors import (
    DamagedFileError,
    DeviceError,
    FormatError,
    ImageTooLargeError,
    InputError,
    ModelError,
    NvpError,
    OutputError,
    OutputExistsError,
    UnknownModelError,
    UnsupportedImageError,
    UnsupportedVersionError,
)
from nvpcodec.options import Options
from nvpcodec.scores import Reference, Score

__version__ = "0.1.0"

__all__ = [
    "Archive",
    "DamagedFileError",
    "DeviceError",
    "FormatError",
    "ImageTooLargeError",
    "InputError",
    "ModelError",
    "NvpError",
    "Options",
    "OutputError",
    "OutputExistsError",
    "Reference",
    "Score",
    "UnknownModelError",
    "UnsupportedImageError",
    "UnsupportedVersionError",
    "__version__",
    "decode",
    "decode_batch",
    "decode_tensor",
    "encode",
    "encode_batch",
    "info",
    "pack",
    "read",
    "read_preview",
    "read_region",
    "score",
    "write",
]
