"""Trees of images and jobs on them, for the tests of bulk jobs."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image as PillowImage

from nvpcodec import codec, imagefile, png
from nvpcodec.bulk.manifest import Entry
from nvpcodec.bulk.plan import Job
from nvpcodec.options import DEFAULT_MAX_PIXELS
from nvpcodec.pixels import Image
from tests.helpers import gradient, noise
from tests.models import small_model_path, small_options

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE_SECONDS = 120.0


def small_job(source: Path | str, target: Path | str, *, decoding: bool = False, verify: bool = False) -> Job:
    return Job(str(source), str(target), small_options(), decoding, verify)


def write_image(path: Path, image: Image) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png.write(image))
    return path


def write_jpeg(path: Path) -> Path:
    stream = io.BytesIO()
    PillowImage.fromarray(gradient().samples).save(stream, "JPEG")
    path.write_bytes(stream.getvalue())
    return path


def awkward_tree(root: Path, count: int) -> int:
    """`count` good images, twins by their stem and names with blanks and accents among them, and one broken
    file; also links in circles, a pipe and a text. How many files are to be coded, the broken one included.
    """
    for index in range(count):
        write_image(root / f"noise{index:03}.png", noise(index))
    write_image(root / "twin.png", gradient())
    write_jpeg(root / "twin.jpg")
    write_image(root / "with blanks" / "größe ½ 写真.PNG", gradient())
    write_image(root / os.fsdecode(b"no-utf8-\xff.png"), gradient())
    (root / "broken.png").write_bytes(png.write(gradient())[:100])
    (root / "with blanks" / "round").symlink_to(root, target_is_directory=True)
    (root / "circle.png").symlink_to(root / "circle.png")
    os.mkfifo(root / "pipe.png")
    (root / "readme.txt").write_text("no image")
    return count + 6


#: Of the awkward tree.
BROKEN = {"broken.png.nvp", "circle.png.nvp"}


@contextmanager
def started(*arguments: str | Path, stderr: int = subprocess.PIPE) -> Iterator[subprocess.Popen[str]]:
    """`nvpcodec bulk` with the small model, in a session of its own; none of it outlives a failing test."""
    command = [sys.executable, "-m", "nvpcodec", "bulk", *map(str, arguments)]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [*command, "--model", str(small_model_path()), "--device", "cpu"],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        start_new_session=True,
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


def wait_for(what: Callable[[], bool]) -> None:
    """Until it is so."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not what():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.01)


def lines(manifest: Path) -> list[Entry]:
    """The whole lines of a manifest that may be growing."""
    if not manifest.exists():
        return []
    return [Entry.from_json(line.decode()) for line in manifest.read_bytes().split(b"\n")[:-1]]


def check_outputs(source: Path, target: Path) -> set[str]:
    """Every .nvp file below `target` is whole and is its source; their names."""
    names = set()
    for path in target.rglob("*.nvp"):
        name = path.relative_to(target).as_posix()
        original = (source / name.removesuffix(".nvp")).read_bytes()
        decoded = codec.decode_image(path.read_bytes(), small_options())
        assert decoded.equals(imagefile.read(original, max_pixels=DEFAULT_MAX_PIXELS).image), name
        names.add(name)
    return names


def check_manifest(target: Path, entries: list[Entry]) -> None:
    """Each output that is there has one line of success, which tells the truth."""
    import hashlib

    good = {entry.output: entry for entry in entries if entry.error is None}
    assert sorted(entry.output for entry in entries if entry.error is None) == sorted(good), "once each"
    assert good.keys() == {path.relative_to(target).as_posix() for path in target.rglob("*.nvp")}
    for output, entry in good.items():
        data = (target / output).read_bytes()
        assert (entry.output_bytes, entry.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def leftovers(target: Path) -> list[Path]:
    return list(target.rglob("*.nvpcodec-part"))


def json_lines(text: str) -> list[object]:
    return [json.loads(line) for line in text.splitlines()]
