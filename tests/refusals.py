"""Payloads that no encoder writes, in files that are sound but for them: damage to both decoders."""

from __future__ import annotations

from functools import cache

import pytest

from nvpcodec import codec, container, zoo
from nvpcodec.container import RegionPart
from nvpcodec.errors import DamagedFileError
from nvpcodec.options import DEFAULT_MODEL, Options
from tests import second_decoder


@cache
def shipped_models() -> dict[bytes, second_decoder.Model]:
    """All models of the package as the second decoder reads them, by id."""
    return dict(second_decoder.read_model(path.read_bytes()) for path in zoo.WEIGHTS.glob("*.safetensors"))


def file_of_region(part: RegionPart, kind: int, size: tuple[int, int]) -> bytes:
    """A file of one region (height, width) that the default model decodes."""
    height, width = size
    model_id = zoo.by_name(DEFAULT_MODEL).model_id
    return container.write(
        container.Container(kind, 8, width, height, height, width, model_id, b"", (part,), pixel_checksum=0)
    )


def check_is_damage(data: bytes) -> None:
    """Both decoders refuse the file, ours as damaged and in one line."""
    with pytest.raises(DamagedFileError) as caught:
        codec.decode_image(data, Options(device="cpu"))
    assert "\n" not in str(caught.value)
    with pytest.raises(second_decoder.RefusedError):
        second_decoder.decode(data, shipped_models())
