"""A model card says what a stranger must know: licence, data, metrics with intervals, limits."""

from understudy.card import card
from understudy.metrics.protocol import MIOU
from understudy.verdict import Finding, Verdict

RULES = (Finding(MIOU, "min", "passed", "fine"),)
VERDICT = Verdict(True, RULES, {MIOU: {"min": 0.5}}, {MIOU: 0.6}, "e" * 64, "d" * 64, "c" * 64, {})
DATA = {"name": "toy streets", "kind": "labels", "size": [24, 20], "classes": ["sky", "road"], "licence": "CC0",
        "counts": {"train": 30, "val": 5, "test": 7}}  # fmt: skip
SCORED = {name: {MIOU: {"value": value, "low": value - 0.02, "high": value + 0.02}}
          for name, value in (("student", 0.6), ("teacher", 0.62), ("baseline", 0.45))}  # fmt: skip


def written(**changes: object) -> str:
    evaluation = {"split": "test", "models": SCORED}
    return card("street", VERDICT, evaluation, DATA | changes, "resnet", ("onnx",), {"git_commit": "a" * 40})


def test_it_names_data_licence_metrics_with_intervals_limits_and_origin():
    text = written()
    assert text.startswith("# street\n") and "(resnet), distilled from a larger teacher" in text
    assert "toy streets: 30 to train, 5 to val, 7 to test. Licence: CC0." in text and "Classes: sky, road." in text
    assert f"| {MIOU} | higher | 0.6 | 0.58 to 0.62 | 0.62 | 0.45 |" in text
    assert "Gate: passed. Formats: safetensors, onnx." in text
    limits = text[text.index("## Limits") : text.index("## Origin")]
    assert limits.count("\n- ") == 3 and "Its images are not evidence of anything" in limits
    assert f"- git_commit: `{'a' * 40}`" in text and f"- data (test split): `{'d' * 64}`" in text


def test_a_licence_that_is_not_known_is_said():
    assert "Licence: not stated by the data set." in written(licence=None)
    assert "and the edges of instances into photos" in written(edges=True)
