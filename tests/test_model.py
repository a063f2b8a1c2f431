"""A model proves its bounds, refuses what does not fit, and is called by what it holds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from nvpcodec.errors import ModelError
from nvpcodec.model import Model, load, save
from nvpcodec.tables import base_lengths
from tests.models import CONFIG, REFINED, random_tensors, small_model

LAYER = "level1.coupling1.head2_hidden"


def changed(name: str, tensor: NDArray[Any]) -> Model:
    return Model("phase", CONFIG, {**random_tensors(), name: tensor})


def test_layers_of_a_configuration() -> None:
    names = [spec.name for spec in CONFIG.layers()]
    assert len(names) == len(set(names)) == 2 * (1 + 2 * (1 + 2 + 6))
    specs = {spec.name: spec for spec in CONFIG.layers()}
    assert specs["level0.up"].inputs == ((8, 1),)
    assert specs["level0.up"].outputs == 16
    assert specs["level0.coupling0.stem"].inputs == ((54, 1), (4, 1))
    assert specs["level0.coupling1.stem"].inputs == ((108, 1), (8, 1))
    assert specs[LAYER].inputs == ((8, 1), (4, 3))
    assert specs["level1.coupling0.head0_hidden"].inputs == ((8, 1),)
    assert specs["level1.coupling1.head0_out"].outputs == 4


def test_layers_of_a_refinement() -> None:
    specs = {spec.name: spec for spec in REFINED.layers()}
    assert len(specs) == len(list(CONFIG.layers())) + 2 * 2 * 9
    passes = ((1, 1), (5, 1), (5, 1), (9, 1))
    assert specs["level0.phase3.refinement0_hidden"].inputs == ((8, 1), *passes)
    assert specs["level1.phase2.refinement2_hidden"].inputs == ((8, 1), (28, 1), *passes)
    assert specs["level1.phase1.refinement1_hidden"].outputs == 6
    assert specs["level1.phase1.refinement1_out"].inputs == ((6, 1),)
    assert REFINED.refinement(4, 1, 1) == "level1.phase1.refinement1_"


def test_a_refinement_sees_orientations_that_are_not_transposed(tmp_path: Path) -> None:
    several = replace(REFINED, orientations=8, refinement_orientations=4)
    assert load(save(small_model(several), tmp_path, "several")).config == several
    assert list(several.layers()) == list(REFINED.layers())
    for orientations, most in ((1, 1), (2, 2), (4, 2), (8, 4)):
        for n in (0, 1, 2, 3, 4, 8):
            if n in (1, 2, 4) and n <= most:
                replace(REFINED, orientations=orientations, refinement_orientations=n)
            else:
                with pytest.raises(ModelError, match=f"at most {most}"):
                    replace(REFINED, orientations=orientations, refinement_orientations=n)
    with pytest.raises(ModelError, match="at most 1"):
        replace(CONFIG, orientations=8, refinement_orientations=2)


def test_no_refinement_goes_without_saying(tmp_path: Path) -> None:
    assert "refinement" not in small_model().config_json()
    model = small_model(REFINED)
    assert '"refinement_width": 6' in model.config_json()
    assert "refinement_orientations" not in model.config_json()
    assert load(save(model, tmp_path, "refined")).config == REFINED
    spelt_out = json.dumps({**json.loads(small_model().config_json()), "refinement_width": 0})
    path = tmp_path / "spelt.safetensors"
    save_file(random_tensors(), str(path), metadata={"config": spelt_out})
    with pytest.raises(ModelError, match="no valid configuration"):
        load(path)


def test_coarse_scales_share_weights() -> None:
    assert CONFIG.prefix(5, 1) == CONFIG.prefix(1, 1) == "level1.coupling1."
    assert CONFIG.up(9) == "level1.up"
    assert CONFIG.prefix(0, 0) == "level0.coupling0."


@pytest.mark.parametrize("name", ["base", LAYER + ".weight0", LAYER + ".bias", LAYER + ".shift"])
def test_a_missing_tensor_is_refused(name: str) -> None:
    tensors = random_tensors()
    del tensors[name]
    with pytest.raises(ModelError, match=f"lack the tensor {name}"):
        Model("phase", CONFIG, tensors)


def test_a_superfluous_tensor_is_refused() -> None:
    with pytest.raises(ModelError, match="level7"):
        changed("level7.up.bias", np.zeros(16, np.int32))


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("base", np.int64),
        (LAYER + ".weight1", np.int32),
        (LAYER + ".weight1", np.uint8),
        (LAYER + ".bias", np.float32),
        (LAYER + ".shift", np.int32),
    ],
)
def test_a_wrong_type_is_refused(name: str, dtype: type) -> None:
    with pytest.raises(ModelError, match=name):
        changed(name, random_tensors()[name].astype(dtype))


@pytest.mark.parametrize("name", ["base", LAYER + ".weight0", LAYER + ".bias", LAYER + ".shift"])
def test_a_wrong_shape_is_refused(name: str) -> None:
    with pytest.raises(ModelError, match=name):
        changed(name, random_tensors()[name][:-1])


def test_a_broken_bound_names_the_layer_and_the_channel() -> None:
    bias = random_tensors()[LAYER + ".bias"]
    weights = [random_tensors()[f"{LAYER}.weight{i}"].astype(np.int64) for i in range(2)]
    room = (1 << 24) - 1 - 512 * int(sum(np.abs(w[3]).sum() for w in weights))
    for sign in (-1, 1):
        bias[3] = sign * room
        changed(LAYER + ".bias", bias)
        bias[3] += sign
        with pytest.raises(ModelError, match=f"{LAYER}, channel 3: sums may reach 16777216"):
            changed(LAYER + ".bias", bias)


def test_a_file_that_breaks_a_bound_is_refused_by_the_name_of_the_layer(tmp_path: Path) -> None:
    """The largest legal weights everywhere are too much for a layer of many inputs."""
    tensors = random_tensors()
    tensors["level0.coupling1.stem.weight0"][2] = -128
    tensors["level0.coupling1.stem.bias"][2] = 12_000_000
    path = tmp_path / "broken.safetensors"
    save_file(tensors, str(path), metadata={"config": small_model().config_json()})
    with pytest.raises(ModelError, match=r"layer level0\.coupling1\.stem, channel 2: sums may reach"):
        load(path)


@pytest.mark.parametrize("shift", [-1, 24])
def test_a_shift_out_of_range_is_refused(shift: int) -> None:
    shifts = random_tensors()[LAYER + ".shift"]
    shifts[2] = shift
    with pytest.raises(ModelError, match=f"shift of layer {LAYER}"):
        changed(LAYER + ".shift", shifts)


@pytest.mark.parametrize("scale", [0, 35, 36, 53, 54, 71])
@pytest.mark.parametrize("fault", ["falls", "cell too small", "first", "last"])
def test_a_base_table_without_mass_is_refused(scale: int, fault: str) -> None:
    base = random_tensors()["base"]
    start = sum(base_lengths()[:scale])
    end = start + base_lengths()[scale]
    middle = (start + end) // 2
    if fault == "falls":
        base[middle] = base[middle - 1] - 1
    elif fault == "cell too small":
        base[start + 16 : middle + 16] = base[start + 16]
    elif fault == "first":
        base[start] = 1
    else:
        base[end - 1] = 65535
    with pytest.raises(ModelError, match=f"base table of scale index {scale} "):
        changed("base", base)


def test_the_id_is_that_of_the_content(tmp_path: Path) -> None:
    model = small_model()
    assert len(model.model_id) == 8
    path = save(model, tmp_path, "one")
    assert path.name == f"one-{model.model_id.hex()}.safetensors"
    assert load(path).model_id == model.model_id
    backwards = {name: model.tensors[name] for name in reversed(list(model.tensors))}
    assert Model("phase", CONFIG, backwards).model_id == model.model_id
    other = tmp_path / "other.safetensors"
    save_file(backwards, str(other), metadata={"more": "than that", "config": model.config_json()})
    assert load(other).model_id == model.model_id


def test_the_id_is_known() -> None:
    """Pins what is hashed, on tensors of plain arithmetic that every platform and NumPy makes alike."""
    tensors: dict[str, NDArray[Any]] = {
        name: (np.arange(tensor.size) % 7).reshape(tensor.shape).astype(tensor.dtype)
        for name, tensor in random_tensors().items()
    }
    tables = [(np.arange(n, dtype=np.int64) + 1) * 65536 // (n + 1) for n in base_lengths()]
    tensors["base"] = np.concatenate(tables).astype(np.int32)
    assert Model("phase", CONFIG, tensors).model_id.hex() == "a7723a9017cca784"


@pytest.mark.parametrize("name", sorted(random_tensors()))
def test_the_id_changes_with_any_weight(name: str) -> None:
    tensor = random_tensors()[name]
    tensor.flat[-1] += -1 if tensor.flat[-1] > 0 else 1
    assert changed(name, tensor).model_id != small_model().model_id


def test_the_configuration_that_is_hashed() -> None:
    text = json.loads(small_model().config_json())
    assert text == {
        "kind": "phase",
        "levels": 2,
        "width": 8,
        "blocks": [1, 1],
        "head_width": 8,
        "handed_width": 4,
    }


def test_a_file_comes_back(tmp_path: Path) -> None:
    model = load(save(small_model(), tmp_path, "one"))
    assert model.config == CONFIG
    assert model.kind == "phase"
    for name, tensor in small_model().tensors.items():
        assert model.tensors[name].dtype == tensor.dtype
        assert np.array_equal(model.tensors[name], tensor)


@pytest.mark.parametrize(
    "fields",
    [
        {"kind": "glow"},
        {"kind": ["phase"]},
        {"kind": None},
        {"depth": 3},
        {"levels": "two"},
        {"levels": -1},
        {"levels": 2.0},
        {"levels": True},
        {"levels": 10**9},
        {"blocks": 3},
        {"blocks": [1]},
        {"blocks": [1, 1, 1]},
        {"blocks": ["1", 1]},
        {"width": None},
        {"width": 0},
    ],
)
def test_a_bad_configuration_is_refused(tmp_path: Path, fields: dict[str, Any]) -> None:
    config = json.loads(small_model().config_json()) | fields
    path = tmp_path / "bad.safetensors"
    save_file(dict(small_model().tensors), str(path), metadata={"config": json.dumps(config)})
    with pytest.raises(ModelError):
        load(path)


@pytest.mark.parametrize("text", [None, "", "{", "{}", "[]", "7", "null"])
def test_what_is_no_configuration_is_refused(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "bad.safetensors"
    metadata = None if text is None else {"config": text}
    save_file(dict(small_model().tensors), str(path), metadata=metadata)
    with pytest.raises(ModelError, match="no valid configuration"):
        load(path)


@pytest.mark.parametrize("content", [b"", b"PNG", bytes(100), b"\xff" * 40])
def test_what_is_no_weights_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"bad\.safetensors"):
        load(path)


def test_a_cut_weights_file_is_refused(tmp_path: Path) -> None:
    path = save(small_model(), tmp_path, "one")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelError, match="cannot be read"):
        load(path)


def test_a_missing_weights_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        load(tmp_path / "none.safetensors")


def test_a_configuration_names_all_its_fields(tmp_path: Path) -> None:
    """What is left out must not be guessed: the model's id depends on it."""
    config = json.loads(small_model().config_json())
    for missing in config:
        path = tmp_path / f"{missing}.safetensors"
        partial = {k: v for k, v in config.items() if k != missing}
        save_file(dict(small_model().tensors), str(path), metadata={"config": json.dumps(partial)})
        with pytest.raises(ModelError, match="no valid configuration"):
            load(path)


def test_orientations_are_named_where_there_are_several(tmp_path: Path) -> None:
    """Models that knew no orientations keep their ids."""
    model = small_model()
    several = Model(model.kind, replace(CONFIG, orientations=4), model.tensors)
    assert "orientations" not in json.loads(model.config_json())
    assert load(save(several, tmp_path, "several")).config == several.config
    assert several.model_id != model.model_id


@pytest.mark.parametrize("orientations", [0, 1, 3, 16, "2", 2.0, True])
def test_other_numbers_of_orientations_are_refused(tmp_path: Path, orientations: object) -> None:
    config = json.loads(small_model().config_json()) | {"orientations": orientations}
    path = tmp_path / "bad.safetensors"
    save_file(dict(small_model().tensors), str(path), metadata={"config": json.dumps(config)})
    with pytest.raises(ModelError):
        load(path)


def test_memory_order_does_not_matter_to_a_weights_file(tmp_path: Path) -> None:
    """Training keeps weights with the channels last."""
    model = small_model()
    turned = {name: np.asfortranarray(tensor) for name, tensor in model.tensors.items()}
    path = save(Model(model.kind, model.config, turned), tmp_path, "turned")
    assert load(path).model_id == model.model_id
    assert path.name == f"turned-{model.model_id.hex()}.safetensors"
