"""The laws of the house: who may import whom, and that dvc.yaml, params.yaml, recipes and README tell the truth."""

import ast
import dataclasses
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml

from understudy.adapters.dvc import is_code, stage_module
from understudy.arch.teacher import teacher_arch
from understudy.cost import cost
from understudy.imports import closure
from understudy.metrics.protocol import METRICS, PUBLISHED_SHA256, Reference, Resize
from understudy.params.active import SECTIONS, load_all
from understudy.params.gate import Gate
from understudy.params.loader import read, section_name
from understudy.params.prepare import Prepare
from understudy.params.prune import Prune
from understudy.params.teacher import Teacher

REPO = Path(__file__).parents[1]
STAGES: dict[str, Any] = yaml.safe_load((REPO / "dvc.yaml").read_text())["stages"]
OPERATIONAL = ("dvc", "prefect", "mlflow", "great_expectations", "boto3", "botocore")


def python_files(folder: str) -> list[Path]:
    return sorted((REPO / folder).rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Top-level names of everything that a file imports, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_depends_on_exactly_the_code_it_imports(stage):
    listed = [entry for entry in STAGES[stage]["deps"] if is_code(entry)]
    assert listed == closure(stage_module(STAGES[stage]["cmd"]), REPO), "run `make deps`"


def test_closure_follows_imports_inside_functions_and_through_modules():
    code = closure("stages.prune", REPO)
    assert {
        "stages/prune.py",
        "understudy/arch/unet.py",
        "understudy/models/inception.py",
        "understudy/files.py",
    } <= set(code)
    assert not any("adapters" in file for file in code)


@pytest.mark.parametrize("path", [p for p in python_files("understudy") if "adapters" not in p.parts], ids=str)
def test_the_library_knows_no_operational_tool(path):
    assert not imported(path) & set(OPERATIONAL)


@pytest.mark.parametrize("path", [*python_files("understudy"), *python_files("stages")], ids=str)
def test_only_the_export_and_one_file_know_onnx(path):
    """And nothing imports those of its files at the top that do: every other stage runs where ONNX is not installed."""
    if path.parent.name == "export" or path.name == "onnx_session.py":
        return
    assert not imported(path) & {"onnx", "onnxruntime", "onnxscript"}
    top = {node.module for node in ast.parse(path.read_text()).body if isinstance(node, ast.ImportFrom)}
    assert not top & {
        "understudy.onnx_session",
        *(f"understudy.export.{name}" for name in ("network", "session", "int8")),
    }


@pytest.mark.parametrize("path", [*python_files("understudy"), *python_files("stages")], ids=str)
def test_only_the_server_knows_the_packages_that_serve(path):
    if path.parent.name != "serve" and path.name != "serve.py":
        assert not imported(path) & {"fastapi", "starlette", "uvicorn", "prometheus_client"}


@pytest.mark.parametrize("path", [*python_files("understudy"), *python_files("stages")], ids=str)
def test_nothing_imports_stages_or_flows(path):
    assert not imported(path) & {"stages", "flows"}


@pytest.mark.parametrize("path", python_files("stages"), ids=str)
def test_only_check_may_use_an_adapter(path):
    used = [file for file in closure(f"stages.{path.stem}", REPO) if "adapters/" in file]
    assert used == (["understudy/adapters/gx.py"] if path.stem == "check" else [])


@pytest.mark.parametrize("path", [p for f in ("understudy", "stages", "benchmarks") for p in python_files(f)], ids=str)
def test_nothing_is_unpickled(path):
    """Reading a pickle runs its code. Weights are safetensors; torch.load is for foreign ones, with weights_only."""
    assert not imported(path) & {"pickle", "cloudpickle", "dill", "joblib", "shelve"}
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "torch":
            assert "load" not in {alias.name for alias in node.names}  # it would hide from what follows
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        given = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
        if ast.unparse(node.func) == "torch.load":
            assert given.get("weights_only") == "True"
        assert given.get("allow_pickle", "False") == "False"


def test_package_files_are_empty():
    assert [
        p
        for p in (*python_files("understudy"), *python_files("stages"))
        if p.name == "__init__.py" and p.stat().st_size
    ] == []


def test_every_key_of_params_is_a_field_and_every_field_a_key():
    values = read(REPO / "params.yaml")
    assert list(values) == [section_name(section) for section in SECTIONS]
    for section in SECTIONS:
        if section is not Gate:  # a mapping by metric name
            fields = [field.name for field in dataclasses.fields(section)]
            assert sorted(values[section_name(section)]) == sorted(fields)
    load_all(REPO / "params.yaml")


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_names_exactly_the_parameters_it_reads(stage):
    module = importlib.import_module(stage_module(STAGES[stage]["cmd"]))
    assert STAGES[stage]["params"] == [section_name(section) for section in module.READS]


@pytest.mark.parametrize("path", sorted((REPO / "recipes").glob("*.yaml")), ids=lambda p: p.name)
def test_every_recipe_loads(path):
    assert load_all(path)


def test_recipes_are_there():
    assert {"camvid-64.yaml", "camvid-128.yaml"} <= {path.name for path in (REPO / "recipes").glob("*.yaml")}


def commands() -> list[str]:
    """Lines of the README's shell blocks."""
    blocks = re.findall(r"```(?:sh|bash)\n(.*?)```", (REPO / "README.md").read_text(), re.DOTALL)
    lines = [line.split("#")[0].strip().removeprefix("$ ") for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


@pytest.mark.parametrize("command", commands())
def test_every_command_of_the_readme_parses(command):
    words = shlex.split(command)
    if words[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (REPO / "Makefile").read_text(), re.MULTILINE)
        assert next(word for word in words[1:] if "=" not in word) in targets
    elif words[0] == "understudy":
        from understudy.cli import _parser

        _parser().parse_args(words[1:])
    elif words[:2] == ["python", "-m"]:
        assert (REPO / (words[2].replace(".", "/") + ".py")).exists()
    elif words[0] == "dvc":
        help_text = subprocess.run(
            [sys.executable, "-m", "dvc", *words[1:2], "--help"], capture_output=True, text=True, cwd=REPO
        )
        assert help_text.returncode == 0
    else:
        assert words[0] in ("git", "cd")


def test_the_two_commands_are_those_that_ci_runs():
    assert "make test" in (REPO / ".ci" / "run").read_text()
    assert {"make demo", "make test"} <= set(commands())
    workflow = (REPO / ".github" / "workflows" / "ci.yml").read_text()
    assert {"make lint", "make test", "make demo"} <= set(re.findall(r"run: (.+)", workflow))


def own_recipes():
    """Those of this project's own settings: a paper's has that paper's budget."""
    return [path for name in ("street-scenes*", "camvid*", "*-small")
            for path in sorted((REPO / "recipes").glob(f"{name}.yaml"))]  # fmt: skip


@pytest.mark.parametrize("path", own_recipes(), ids=lambda p: p.name)
def test_every_own_recipe_asks_for_a_tenth_of_its_teacher_in_both_conventions(path):
    params = load_all(path)
    classes = {"street-scenes": 13, "camvid_320x240": 12}
    channels = 3 if params[Teacher].encoding == "rgb" else classes[Path(params[Prepare].source).stem]
    whole = cost(teacher_arch(params[Teacher], channels, params[Prepare].size))
    counted, budget = params[Prune].budget.counted
    assert counted in ("macs_true", "macs_legacy") and budget * 10 <= getattr(whole, counted)
    assert params[Gate].policy["macs_true_g"]["max"] * 1e10 <= whole.macs_true
    assert params[Gate].policy["macs_legacy_g"]["max"] * 1e10 <= whole.macs_legacy


def test_every_metric_is_explained():
    text = (REPO / "docs" / "metrics.md").read_text()
    assert not [name for name in METRICS if f"`{name}`" not in text]
    assert PUBLISHED_SHA256 in text
    assert all(f"`{word}`" in text for kind in (Resize, Reference) for word in get_args(kind))


def test_no_telemetry():
    config = (REPO / ".dvc" / "config").read_text()
    assert re.search(r"analytics\s*=\s*false", config) and re.search(r"check_update\s*=\s*false", config)


def test_the_lock_names_no_machine_and_no_index():
    lock = (REPO / "requirements.lock").read_text()
    assert "==" in lock and not re.search(r"https?://|file:|--index|--find-links|@ /", lock)


@pytest.mark.parametrize("folder", ["understudy", "stages", "flows", "tests", "benchmarks"])
def test_no_file_is_called_after_nothing(folder):
    assert not [p for p in python_files(folder) if p.stem in ("utils", "common", "helpers", "misc")]
