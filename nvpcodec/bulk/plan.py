"""What a bulk job has to do: the files of a tree, where each goes, and which are done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nvpcodec.bulk import trees
from nvpcodec.bulk.manifest import Entry, Manifest
from nvpcodec.bulk.trees import Found
from nvpcodec.options import Options

#: Image files are known by their suffix, in small or capital letters.
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif", ".ppm", ".pgm", ".pbm")


@dataclass(frozen=True, slots=True)
class Job:
    """From which root to which, and how.

    ``decoding`` turns .nvp files to PNG, else images become .nvp files. ``verify`` reads each output again
    before it is written, and compares. ``force`` does again what is done, and replaces what is there.
    """

    source: str
    target: str
    options: Options
    decoding: bool = False
    verify: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class Task:
    """One file; ``replace`` if an output that is there was made by an earlier run, or ``force`` was given."""

    name: str
    output: str
    input_bytes: int | None
    input_version: str | None
    replace: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """Tasks to do, entries of what cannot be done, and how many files are done or of another kind."""

    tasks: tuple[Task, ...]
    refused: tuple[Entry, ...]
    done: int
    others: int


def output_of(name: str, *, decoding: bool) -> str:
    """Where the file ``name`` goes: a.jpg to a.jpg.nvp; a.png.nvp to a.png, a.jpg.nvp to a.jpg.png.

    The suffix stays, so that a.png and a.jpg do not meet.
    """
    if not decoding:
        return f"{name}.nvp"
    name = name[: -len(".nvp")]
    return name if name.lower().endswith(".png") else f"{name}.png"


def make(job: Job, manifest: Manifest) -> Plan:
    """All that is below the job's source, sorted into what is to be done and what is not.

    Raises
    ------
    InputError
        A store cannot list its tree.
    """
    suffixes = (".nvp",) if job.decoding else IMAGE_SUFFIXES
    chosen: list[Found] = []
    refused: list[Entry] = []
    others = 0
    for found in trees.files_below(job.source):
        if found.problem is not None:
            refused.append(Entry(found.name, found.name, None, None, error=found.problem))
        elif found.name.lower().endswith(suffixes):
            chosen.append(found)
        else:
            others += 1
    outputs = _outputs(chosen, decoding=job.decoding)
    for output, several in outputs.items():
        if len(several) > 1:
            refused += [_clash(found, output) for found in several]
    wanted = {output: several[0] for output, several in outputs.items() if len(several) == 1}
    sizes = {} if job.force else trees.sizes(job.target, wanted.keys() & manifest.last.keys())
    tasks = tuple(
        Task(found.name, output, found.bytes, found.version, job.force or output in manifest.made)
        for output, found in wanted.items()
        if not (output in sizes and _is_done(job, found, manifest.last[output], sizes[output]))
    )
    return Plan(tasks, tuple(refused), len(wanted) - len(tasks), others)


def _outputs(chosen: list[Found], *, decoding: bool) -> Mapping[str, list[Found]]:
    outputs: dict[str, list[Found]] = {}
    for found in chosen:
        outputs.setdefault(output_of(found.name, decoding=decoding), []).append(found)
    return outputs


def _clash(found: Found, output: str) -> Entry:
    """Two files for one output: neither is coded, whichever comes first."""
    error = f"another file would become {output} as well; rename one of them"
    return Entry(found.name, output, found.bytes, found.version, error=error)


def _is_done(job: Job, found: Found, entry: Entry, output_bytes: int | None) -> bool:
    """Whether output and source are those that the manifest tells of."""
    return (
        entry.error is None
        and (entry.input_bytes, entry.input_version) == (found.bytes, found.version)
        and entry.output_bytes == output_bytes
        and (entry.verified or not job.verify)
    )


def failure(task: Task, error: str) -> Entry:
    """The entry of a task that came to nothing."""
    return Entry(task.name, task.output, task.input_bytes, task.input_version, error=" ".join(error.split()))
