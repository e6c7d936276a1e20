"""The table of the exported files, and what it leaves out when it would speak of other ones."""

from understudy.export.record import FILES
from understudy.metrics import protocol
from understudy.metrics.protocol import MIOU
from understudy.report.exports import exports_or_reason, exports_table
from understudy.report.gather import Run
from understudy.verdict import ExportVerdict, Finding, Verdict

KID = protocol.KID["labels"]


def scored(value, half=0.01):
    return {"value": value, "low": value - half, "high": value + half, "n": 200}


EVALUATION = {"models": {"student": {MIOU: scored(0.61), KID: scored(0.002, 0.0001), "file_mb": {"value": 0.41}}}}
RECORD = {
    "models": {
        "onnx": {MIOU: scored(0.61), KID: scored(0.002, 0.0001), "file_mb": {"value": 0.45}},
        "int8": {MIOU: scored(0.58), KID: scored(0.003, 0.0001), "file_mb": {"value": 0.33}},
    },
    "differences": {
        "onnx_minus_student": {MIOU: scored(0.0), KID: scored(0.0, 0.0001)},
        "int8_minus_student": {MIOU: scored(-0.03), KID: scored(0.001, 0.0001)},
    },
    "parity": {"onnx": {"most": 1, "mean": 1.5e-05, "share": 0.0}, "int8": {"most": 8, "mean": 0.58, "share": 0.5}},
    "int8": {"convolutions": 94, "total": 96, "macs": 0.962},
    "files": {FILES["onnx"]: "a" * 64, FILES["int8"]: "b" * 64},
}
LATENCY = {
    "threads": 2,
    "device": "cpu",
    "files": RECORD["files"],
    "models": {name: {"median_ms": ms} for name, ms in (("student", 5.1), ("onnx", 2.2), ("int8", 1.7))},
}
PASSED, FAILED = (Finding(MIOU, "min", outcome, "0.58 is below 0.6") for outcome in ("passed", "failed"))
VERDICT = Verdict(
    True, (PASSED,), {}, {}, "e" * 64, "d" * 64, "c" * 64, {},
    {"onnx": ExportVerdict(True, (PASSED,), {}, FILES["onnx"], "a" * 64),
     "int8": ExportVerdict(False, (FAILED,), {}, FILES["int8"], "b" * 64)},
)  # fmt: skip


def row(table, name):
    (found,) = [cells[1:] for cells in table.rows if cells[0] == name]
    return found


def test_the_files_stand_beside_the_student():
    table = exports_table(EVALUATION, RECORD, LATENCY, VERDICT)
    assert table.header == ("", "student", "onnx", "int8")
    assert row(table, "miou")[2] == "0.580 [0.570, 0.590]"
    assert row(table, "miou, less the student's")[2].endswith("worse")
    assert row(table, "kid x 1000, less the student's")[1].endswith("unclear")
    assert row(table, "file (MB)") == ("0.41", "0.45", "0.33")
    assert row(table, "median latency (ms)") == ("5.1", "2.2", "1.7")
    assert row(table, "levels of 255 from the student, most") == ("", "1", "8")
    assert row(table, "verdict") == ("passed", "passed", "failed")
    assert "int8: 94 of 96 convolutions, 96% of the MACs" in table.notes
    assert "int8: 0.58 is below 0.6" in table.notes
    assert all(len(cells) == 4 for cells in table.rows) and table.text() and table.markdown()


def test_what_is_about_other_files_is_left_out():
    table = exports_table(EVALUATION, {**RECORD, "files": dict.fromkeys(RECORD["files"], "f" * 64)}, LATENCY, VERDICT)
    names = [cells[0] for cells in table.rows]
    assert "verdict" not in names and "median latency (ms)" not in names


def test_a_run_without_exports_has_no_table_and_damaged_ones_a_reason(tmp_path):
    (tmp_path / "artifacts/evaluate").mkdir(parents=True)
    (tmp_path / "artifacts/evaluate/evaluation.json").write_text("{}")
    assert exports_or_reason(Run(tmp_path)) == []
    (tmp_path / "artifacts/export").mkdir()
    (tmp_path / "artifacts/export/export.json").write_text("{half")
    (table,) = exports_or_reason(Run(tmp_path))
    assert "export.json" in table.notes[0] and "export.json" in table.text() + table.markdown()
