"""The command itself; its verbs are tested in commands/."""

import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest
from verbs import SCRIPT

from understudy.cli import VERBS, main
from understudy.errors import BAD_INPUT, OK

REPO = Path(__file__).parents[2]


def test_help_shows_every_verb(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--help"])
    shown = capsys.readouterr().out
    assert ended.value.code == OK
    assert all(f"\n    {verb}" in shown for verb in VERBS) and "exit codes" in shown
    assert max(map(len, shown.splitlines())) <= 110


def test_the_version_is_the_project_s(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    assert ended.value.code == OK and capsys.readouterr().out == f"understudy {project['version']}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_explains_itself(verb, capsys):
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    assert ended.value.code == OK
    assert VERBS[verb].__doc__.splitlines()[0].rstrip(".") in capsys.readouterr().out


def test_starting_imports_nothing_heavy():
    code = """
import sys
import tomllib
from dataclasses import replace
from understudy.cli import main
try:
    main(["--help"])
except SystemExit:
    pass
main(["cost", "--model", "inception", "--json"])
main(["gate", "--root", "nowhere"])
heavy = {"torch", "torchvision", "numpy", "PIL", "mlflow", "dvc", "prefect", "great_expectations", "pandas"}
sys.exit(f"imported {heavy & set(sys.modules)}" if heavy & set(sys.modules) else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("arguments", [[], ["fly"], ["cost", "--size", "64"], ["gate", "--bogus"]])
def test_wrong_usage_exits_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == BAD_INPUT and "usage:" in capsys.readouterr().err


def test_a_reader_that_leaves_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run([*SCRIPT, "cost", "--model", "resnet9"], stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert process.returncode == 141 and process.stderr == b""


def test_ctrl_c_is_quiet(tmp_path):
    # `clean` at a terminal waits for an answer: a place in which to be interrupted.
    checkpoint = tmp_path / ".understudy/teacher/abc/checkpoint-1-a.safetensors"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    leader, follower = os.openpty()
    process = subprocess.Popen(
        [*SCRIPT, "clean", "--root", str(tmp_path)], stdin=follower, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # tests in the background ignore it
    )  # fmt: skip
    assert process.stdout is not None
    seen = b""
    while b"Remove?" not in seen:
        seen += process.stdout.read1()
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    os.close(leader)
    os.close(follower)
    assert process.returncode == 130 and errors == b""
    assert checkpoint.exists()
