"""Shell manners: pipes, signals, terminals, statuses, completion; each with a process of its own."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nvpcodec import cli, png
from nvpcodec.pixels import Kind
from tests.helpers import gradient

ROOT = Path(__file__).resolve().parent.parent
COMMAND = [sys.executable, "-m", "nvpcodec"]
PATIENCE = 120


def environment(**more: str) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    kept = {name: value for name, value in os.environ.items() if name not in ("NO_COLOR", "TERM")}
    return {**kept, "PYTHONPATH": path, "TERM": "xterm", "NVPCODEC_DEVICE": "cpu", **more}


def plain_png(folder: Path, name: str = "a.png") -> Path:
    """A picture that needs no model."""
    path = folder / name
    path.write_bytes(png.write(gradient(Kind.RGB, np.uint16)))
    return path


def many_pngs(folder: Path, count: int) -> Path:
    """A folder of pictures that need no model."""
    pictures = folder / "pictures"
    pictures.mkdir()
    data = plain_png(folder).read_bytes()
    (folder / "a.png").unlink()
    for number in range(count):
        (pictures / f"{number:04}.png").write_bytes(data)
    return pictures


class Terminal:
    """A command whose stderr is a terminal; its stdout is a pipe."""

    def __init__(self, *arguments: str, cwd: Path, **more: str) -> None:
        self._main, line = pty.openpty()
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=cwd,
            env=environment(**more),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=line,
            start_new_session=True,
        )
        os.close(line)
        self.seen = b""

    def read_until(self, wanted: bytes) -> None:
        while wanted not in self.seen:
            assert self._read(), self.seen

    def finish(self) -> tuple[int, bytes]:
        """Exit status and all that the terminal saw."""
        while self._read():
            pass
        os.close(self._main)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return self.process.wait(PATIENCE), self.seen

    def _read(self) -> bool:
        ready, _, _ = select.select([self._main], [], [], PATIENCE)
        assert ready, "the command says nothing"
        try:
            chunk = os.read(self._main, 4096)
        except OSError:  # what Linux says when the other end is closed
            return False
        self.seen += chunk
        return bool(chunk)


# --- terminals ---------------------------------------------------------------------------------------------


def test_errors_are_red_on_a_terminal(tmp_path: Path) -> None:
    status, seen = Terminal("info", "none.nvp", cwd=tmp_path).finish()
    assert status == 2
    assert b"nvpcodec: \x1b[31m\x1b[1merror:\x1b[0m " in seen


@pytest.mark.parametrize("more", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colours_where_they_are_not_wanted(tmp_path: Path, more: dict[str, str]) -> None:
    _, seen = Terminal("info", "none.nvp", cwd=tmp_path, **more).finish()
    assert b"nvpcodec: error: " in seen
    assert b"\x1b[31m" not in seen


def test_progress_and_an_interrupt(tmp_path: Path) -> None:
    many_pngs(tmp_path, 1500)
    terminal = Terminal("pack", "pictures", "a.nvpa", cwd=tmp_path)
    terminal.read_until(b"2 of 1500 images")
    terminal.process.send_signal(signal.SIGINT)
    status, seen = terminal.finish()
    assert status == 130
    assert b"\r\x1b[K1 of 1500 images" in seen
    assert b"interrupted" in seen.rstrip().splitlines()[-1]
    assert b"Traceback" not in seen
    assert os.listdir(tmp_path) == ["pictures"]


def test_no_progress_where_nobody_looks(tmp_path: Path) -> None:
    many_pngs(tmp_path, 3)
    done = subprocess.run(
        [*COMMAND, "pack", "pictures", "a.nvpa"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        timeout=PATIENCE,
        check=True,
    )
    assert done.stderr.startswith(b"3 images -> a.nvpa: ")
    assert done.stderr.count(b"\n") == 1
    assert done.stdout == b""


def test_progress_leaves_no_trace(tmp_path: Path) -> None:
    many_pngs(tmp_path, 3)
    status, seen = Terminal("pack", "pictures", "a.nvpa", cwd=tmp_path).finish()
    assert status == 0
    assert b"\r\x1b[K2 of 3 images\r\x1b[K" in seen
    assert seen.rsplit(b"\r\x1b[K", 1)[1].startswith(b"3 images -> a.nvpa: ")


# --- pipes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--help"], ["completion", "zsh"], ["encode", "a.png", "-"]])
def test_a_closed_pipe_is_silent(tmp_path: Path, arguments: list[str]) -> None:
    plain_png(tmp_path)
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=writer,
        stderr=subprocess.PIPE,
        timeout=PATIENCE,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("arguments", ["encode a.png - >&-", "encode - b.nvp <&-"])
def test_closed_streams_are_usage_errors(tmp_path: Path, arguments: str) -> None:
    plain_png(tmp_path)
    done = subprocess.run(
        ["sh", "-c", f'exec "$0" -m nvpcodec {arguments}', sys.executable],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 2
    assert b"is closed" in done.stderr
    assert os.listdir(tmp_path) == ["a.png"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_stdout_is_one_line(tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*COMMAND, "--help"],
            cwd=tmp_path,
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=PATIENCE,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith(b"nvpcodec: error: the output cannot be written")
    assert done.stderr.count(b"\n") == 1


# --- completion, JSON, versions ----------------------------------------------------------------------------


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    assert cli.run(["completion", shell]) == 0
    assert f"_NVPCODEC_COMPLETE={shell}_complete" in capsys.readouterr().out


def test_bash_completes(tmp_path: Path) -> None:
    program = tmp_path / "nvpcodec"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m nvpcodec "$@"\n')
    program.chmod(0o755)
    script = """
eval "$(nvpcodec completion bash)"
attempt() {
  COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
  _nvpcodec_completion nvpcodec; echo "${COMPREPLY[@]}"
}
attempt nvpcodec enc
attempt nvpcodec encode --eff
attempt nvpcodec completion z
"""
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment(PATH=path),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.stdout.split() == ["encode", "--effort", "zsh"], done.stderr


def test_encode_and_decode_as_json(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    source, coded, back = plain_png(tmp_path), tmp_path / "a.nvp", tmp_path / "b.png"
    assert cli.run(["encode", "--json", "-q", str(source), str(coded)]) == 0
    out, err = capfdbinary.readouterr()
    said = json.loads(out)
    assert err == b""
    assert (said["source_bytes"], said["target_bytes"]) == (source.stat().st_size, coded.stat().st_size)
    assert said["bits_per_dim"] == 8 * coded.stat().st_size / (21 * 34 * 3)
    assert (said["width"], said["height"], said["kind"], said["notes"]) == (34, 21, "rgb", [])
    assert cli.run(["decode", "--json", str(coded), str(back)]) == 0
    assert json.loads(capfdbinary.readouterr().out)["target_bytes"] == back.stat().st_size
    assert cli.run(["decode", "--json", str(coded), "-"]) == 0
    out, err = capfdbinary.readouterr()
    assert out == back.read_bytes()
    assert json.loads(err)["target"] == "stdout"


def test_version_names_the_models(capsys: pytest.CaptureFixture[str]) -> None:
    from nvpcodec import __version__, zoo

    with pytest.raises(SystemExit) as stop:
        cli.cli.main(["--version"])
    assert stop.value.code == 0
    told = capsys.readouterr().out
    assert told.startswith(f"nvpcodec, version {__version__}\n")
    for name, model_id in zoo.CURRENT.items():
        assert f"{name} ({model_id})" in told


def test_help_is_quick() -> None:
    """0.3 s of processor time, best of three; the start of Python is part of it."""
    seconds = []
    for _ in range(3):
        before = os.times()
        subprocess.run([*COMMAND, "--help"], env=environment(), stdout=subprocess.DEVNULL, check=True)
        after = os.times()
        seconds.append(sum(after[2:4]) - sum(before[2:4]))
    assert min(seconds) < 0.3
