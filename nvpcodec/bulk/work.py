"""One file of a bulk job, from its source to its place: what workers do, on this machine or another.

Everything heavy is imported here; the modules beside this one are light.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nvpcodec import codec, exact, imagefile, png, storage
from nvpcodec.bulk import trees
from nvpcodec.bulk.manifest import Entry
from nvpcodec.bulk.plan import Job, Task, failure
from nvpcodec.errors import InputError, NvpError, OutputExistsError
from nvpcodec.options import Options
from nvpcodec.pixels import Image
from nvpcodec.rasters import Source


@dataclass(frozen=True, slots=True)
class _Form:
    """How images of a form are read from bytes and written to bytes."""

    read: Callable[[bytes, Options], Source]
    write: Callable[[Image, Options], bytes]


_PICTURE = _Form(
    lambda data, options: imagefile.read(data, max_pixels=options.max_pixels),
    lambda image, _options: png.write(image),
)
_NVP = _Form(
    lambda data, options: Source(codec.decode_image(data, options), ()),
    codec.encode_image,
)


def prepare(job: Job) -> None:
    """Load the model, once for all files. Decoding waits for the first file, which says what it needs.

    Raises
    ------
    ModelError, DeviceError
        The model or the device cannot be used.
    """
    exact.find_device(job.options.device)
    if not job.decoding:
        codec.coder_of(job.options)


def convert(task: Task, job: Job) -> Entry:
    """Do the task; whatever is wrong with the file is in the entry."""
    try:
        return _convert(task, job)
    except NvpError as error:
        return failure(task, str(error))
    except MemoryError:
        return failure(task, "not enough memory for this image; use fewer jobs or a larger machine")
    except (KeyboardInterrupt, SystemExit):
        raise
    # Panics of compiled extensions are no Exception, and one file must not stop the others.
    except BaseException as error:
        return failure(task, f"unexpected {type(error).__name__}: {error}; this is a bug, please report it")


def _convert(task: Task, job: Job) -> Entry:
    started = time.perf_counter()
    source, target = (_NVP, _PICTURE) if job.decoding else (_PICTURE, _NVP)
    place = trees.place_of(job.target, task.output)
    data = storage.read(trees.place_of(job.source, task.name))
    opened = source.read(data, job.options)
    coded = None if job.force else _existing(place, opened.image, target, task, job)
    verified = coded is not None
    if coded is None:
        coded = target.write(opened.image, job.options)
        if job.verify:
            verified = _verify(coded, opened.image, target, job)
        _put(place, coded, overwrite=task.replace)
    return Entry(
        name=task.name,
        output=task.output,
        input_bytes=len(data),
        input_version=task.input_version,
        output_bytes=len(coded),
        sha256=hashlib.sha256(coded).hexdigest(),
        pixels=f"{codec.pixel_checksum(opened.image.samples):08x}",
        verified=verified,
        seconds=round(time.perf_counter() - started, 3),
        notes=opened.notes,
    )


def _existing(place: str, image: Image, target: _Form, task: Task, job: Job) -> bytes | None:
    """The output that is there already, if it holds the same image; None if one is to be written.

    A job that was killed between an output and its line in the manifest leaves such files; so does a worker
    whose machine was lost after its work was done.

    Raises
    ------
    OutputExistsError
        Something else is there that the job did not make.
    """
    located = storage.locate(place)
    if isinstance(located, Path) and not located.is_file():
        return None
    try:
        there = storage.read(place)
    except InputError as error:
        if isinstance(error.__cause__, FileNotFoundError):
            return None
        raise
    if _holds(there, image, target, job):
        return there
    if not task.replace:
        raise OutputExistsError(f"{task.output} exists and is no copy of it; remove it, or use --force")
    return None


def _holds(data: bytes, image: Image, form: _Form, job: Job) -> bool:
    """Whether `data` is a file of that image."""
    try:
        return form.read(data, job.options).image.equals(image)
    except NvpError:
        return False


def _verify(coded: bytes, image: Image, target: _Form, job: Job) -> bool:
    """True; another image raises NvpError."""
    if not target.read(coded, job.options).image.equals(image):
        raise NvpError("the output holds another image; nothing was written: this is a bug, please report it")
    return True


def _put(place: str, coded: bytes, *, overwrite: bool) -> None:
    """Write the output. A worker that was thought lost may have done so in the meantime."""
    trees.make_folder_of(place)
    try:
        storage.write(place, coded, overwrite=overwrite)
    except OutputExistsError:
        if storage.read(place) != coded:
            raise
