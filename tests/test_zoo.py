"""Models are found by name, by path and by id; what is in the package is what its names say."""

from __future__ import annotations

from pathlib import Path

import pytest

from nvpcodec import zoo
from nvpcodec.errors import ModelError, UnknownModelError
from nvpcodec.model import load
from tests.models import small_model, small_model_path


def test_by_path() -> None:
    model = zoo.by_name(str(small_model_path()))
    assert model.model_id == small_model().model_id
    assert zoo.by_name(str(small_model_path())) is model, "read once"


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(ModelError, match="no model 'glow'"):
        zoo.by_name("glow")


def test_by_id_takes_the_hint_only_if_it_is_the_one() -> None:
    path, model_id = str(small_model_path()), small_model().model_id
    assert zoo.by_id(model_id, path).model_id == model_id
    with pytest.raises(UnknownModelError, match=model_id.hex()):
        zoo.by_id(model_id, "fast")
    with pytest.raises(UnknownModelError, match="0000000000000000"):
        zoo.by_id(bytes(8), path)


@pytest.mark.parametrize("name", zoo.CURRENT)
def test_shipped_models(name: str) -> None:
    model = zoo.by_name(name)
    assert model.model_id.hex() == zoo.CURRENT[name]
    assert zoo.by_id(model.model_id, "nowhere").model_id == model.model_id


@pytest.mark.parametrize("path", sorted(zoo.WEIGHTS.glob("*.safetensors")), ids=lambda path: path.name)
def test_weights_bear_their_id(path: Path) -> None:
    assert path.stem.rpartition("-")[2] == load(path).model_id.hex()
