"""Golden files decode to the pixels that were recorded; one that is missing or differs fails.

They are for ever: a change that alters one is a new version of the format, and the old ones keep decoding.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from nvpcodec import container, zoo
from nvpcodec.pixels import Image, Kind, image_from_side_data
from tests.golden import make

INDEX = make.read_index()
CASES = make.cases()


def golden_bytes(name: str) -> bytes:
    return (make.FOLDER / f"{name}.nvp").read_bytes()


def recorded(name: str) -> Image:
    """The samples of the .npy with the kind and the metadata of the .nvp."""
    file = container.parse(golden_bytes(name))
    return image_from_side_data(np.load(make.FOLDER / f"{name}.npy"), Kind(file.kind), file.side_data)


@pytest.mark.parametrize("name", sorted(INDEX))
def test_golden_file(name: str) -> None:
    complaint = make.complaint(name, INDEX[name])
    assert complaint is None, complaint


@pytest.mark.parametrize("name", sorted(CASES.keys() & INDEX.keys()))
def test_golden_files_hold_the_images_of_their_cases(name: str) -> None:
    assert recorded(name).equals(CASES[name].image), f"the case {name} was changed; give it a name of its own"


def test_every_case_is_recorded_and_every_file_is_in_the_index() -> None:
    missing = CASES.keys() - INDEX.keys()
    assert not missing, f"{sorted(missing)} not recorded: run python tests/golden/make.py"
    files = {path.name for path in make.FOLDER.iterdir() if path.suffix in (".nvp", ".npy")}
    assert files == {f"{name}.{ending}" for name in INDEX for ending in make.ENDINGS}


@pytest.mark.parametrize("name", sorted(INDEX))
def test_the_index_names_version_and_model(name: str) -> None:
    header = container.parse_header(golden_bytes(name))
    assert INDEX[name]["format"] == golden_bytes(name)[len(container.MAGIC)]
    assert INDEX[name]["model"] == (header.model_id.hex() if header.model_id else None)


def test_the_weights_of_every_golden_file_are_in_the_package() -> None:
    for model_id in {entry["model"] for entry in INDEX.values()} - {None}:
        weights = list(zoo.WEIGHTS.glob(f"*-{model_id}.safetensors"))
        assert weights, f"the weights {model_id} have golden files: weights once released stay in the package"
        assert zoo.by_id(bytes.fromhex(model_id), hint="").model_id.hex() == model_id


def test_the_version_of_today_has_all_modes_and_kinds() -> None:
    names = [name for name, entry in INDEX.items() if entry["format"] == container.VERSION]
    headers = [container.parse_header(golden_bytes(name)) for name in names]
    assert {region.mode for header in headers for region in header.regions} == container.MODES
    assert {header.kind for header in headers} == {int(kind) for kind in Kind}
    assert {header.bit_depth for header in headers} == {1, 8, 16}


@pytest.mark.parametrize("model", zoo.CURRENT)
def test_each_model_has_files_of_the_flow_and_one_that_mixes_modes(model: str) -> None:
    names = [name for name in INDEX if name.startswith(f"{model}-{zoo.CURRENT[model]}-")]
    headers = {name: container.parse_header(golden_bytes(name)) for name in names}
    assert all(header.regions[0].mode in container.MODEL_MODES for header in headers.values())
    several = [header.regions for header in headers.values() if len(header.regions) > 1]
    assert several
    assert all(len({region.mode for region in regions}) > 1 for regions in several)


def copy_of(name: str, folder: Path) -> Path:
    """Copies a golden file's pair; returns the path of its .nvp."""
    for ending in make.ENDINGS:
        shutil.copy(make.FOLDER / f"{name}.{ending}", folder)
    return folder / f"{name}.nvp"


def test_a_missing_file_is_a_failure_and_stays_missing(tmp_path: Path) -> None:
    copy_of("plain-noise", tmp_path).unlink()
    complaint = make.complaint("plain-noise", INDEX["plain-noise"], tmp_path)
    assert complaint == "plain-noise.nvp is missing: golden files are kept for ever; restore it"
    assert [path.name for path in tmp_path.iterdir()] == ["plain-noise.npy"]


def test_a_changed_file_is_a_failure(tmp_path: Path) -> None:
    path = copy_of("plain-noise", tmp_path)
    path.write_bytes(golden_bytes("plain-palette"))
    complaint = make.complaint("plain-noise", INDEX["plain-noise"], tmp_path)
    assert complaint == "plain-noise.nvp was changed: golden files stay as they were written; restore it"


def test_other_pixels_are_a_change_of_the_format(tmp_path: Path) -> None:
    copy_of("plain-noise", tmp_path)
    other = shutil.copy(make.FOLDER / "plain-rgb16.npy", tmp_path / "plain-noise.npy")
    entry = INDEX["plain-noise"] | {"npy": make.sha256(Path(other).read_bytes())}
    assert make.complaint("plain-noise", entry, tmp_path) == (
        "plain-noise.nvp (format 1, no model) no longer decodes to its pixels. "
        "Mend the decoder: a change of the format is a new version, and old files keep decoding"
    )


def test_a_file_that_is_refused_is_a_change_of_the_format(tmp_path: Path) -> None:
    path = copy_of("plain-noise", tmp_path)
    path.write_bytes(golden_bytes("plain-noise")[:-1])
    entry = INDEX["plain-noise"] | {"nvp": make.sha256(path.read_bytes())}
    complaint = make.complaint("plain-noise", entry, tmp_path)
    assert complaint
    assert complaint.startswith("plain-noise.nvp (format 1, no model) no longer decodes: the file was cut")


def test_nothing_is_written_when_a_recorded_file_is_bad(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The command that adds files does not heal one either."""
    index = shutil.copy(make.INDEX, tmp_path / "index.json")
    monkeypatch.setattr(make, "INDEX", index)
    monkeypatch.setattr(make, "read_index", lambda: {"plain-gone": INDEX["plain-noise"]})
    with pytest.raises(SystemExit, match=r"plain-gone\.nvp is missing.*\nnothing was written"):
        make.main()
    assert Path(index).read_bytes() == (make.FOLDER / "index.json").read_bytes()
