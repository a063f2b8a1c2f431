"""Finds models: by name among the weights in the package, by path, or by the id in a file."""

import threading
from functools import cache
from pathlib import Path

from nvpcodec.errors import ModelError, UnknownModelError
from nvpcodec.model import Model, load

WEIGHTS = Path(__file__).with_name("weights")
#: Weights of the model that encodes under a name; older ones stay for decoding.
CURRENT = {"fast": "36236ce389173ee6", "best": "4808d4292f17a961", "realnvp": "f4da4705fe94bcc6"}

_loading = threading.Lock()


def by_name(name: str) -> Model:
    """The model called `name` in the package, or else the weights file of that path.

    Raises
    ------
    ModelError
        There is no such model, or its file is unusable.
    """
    if name in CURRENT:
        return _load(WEIGHTS / f"{name}-{CURRENT[name]}.safetensors")
    if not Path(name).is_file():
        raise ModelError(
            f"there is no model {name!r}; choose {', '.join(CURRENT)} or the path of a weights file"
        )
    return _load(Path(name))


def by_id(model_id: bytes, hint: str) -> Model:
    """The model with this id, in the package or in the weights file `hint`.

    Raises
    ------
    UnknownModelError
        Neither has it.
    """
    for path in WEIGHTS.glob(f"*-{model_id.hex()}.safetensors"):
        return _load(path)
    if Path(hint).is_file() and (model := _load(Path(hint))).model_id == model_id:
        return model
    raise UnknownModelError(
        f"the file needs the model {model_id.hex()}, which is not in this package; "
        "update nvpcodec or give its weights file with --model"
    )


def _load(path: Path) -> Model:
    """The model of a weights file; threads that ask for it together wait for one and the same."""
    with _loading:
        return _loaded(path)


@cache
def _loaded(path: Path) -> Model:
    return load(path)
