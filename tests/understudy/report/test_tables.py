import pytest

from understudy.metrics import protocol
from understudy.metrics.protocol import L1_TO_TEACHER, MEASURED, MIOU, PIXEL_ACCURACY
from understudy.report.tables import Table, estimate, next_steps, reading, tables, verdict_table
from understudy.verdict import Finding, Verdict

FRECHET, KID = protocol.FRECHET["labels"], protocol.KID["labels"]


def scored(value, half, n=1000):
    return {"value": value, "low": value - half, "high": value + half, "n": n}


TIMED = {f"artifacts/{stage}/weights.safetensors": stage[0] * 64 for stage in ("teacher", "distill", "baseline")}


def evaluation():
    costs = {
        "teacher": dict(zip((m.name for m in MEASURED), (0.4867, 0.5931, 2.05, 8.2, 6.1), strict=True)),
        "student": dict(zip((m.name for m in MEASURED), (0.0482, 0.0587, 0.17, 0.7, 2.0), strict=True)),
    }
    costs["baseline"] = costs["student"]
    quality = {
        "teacher": {MIOU: scored(0.6121, 0.009), PIXEL_ACCURACY: scored(0.874, 0.004), FRECHET: scored(0.862, 0.051),
                    KID: scored(0.00012, 0.000034)},
        "student": {MIOU: scored(0.6093, 0.009), PIXEL_ACCURACY: scored(0.872, 0.004), FRECHET: scored(0.741, 0.05),
                    KID: scored(-0.00003, 0.00004), L1_TO_TEACHER: scored(0.0312, 0.0004)},
        "baseline": {MIOU: scored(0.551, 0.01), PIXEL_ACCURACY: scored(0.841, 0.005), FRECHET: scored(12.13, 1.2),
                     KID: scored(0.0021, 0.0004), L1_TO_TEACHER: scored(0.0702, 0.001)},
    }  # fmt: skip
    return {
        "schema": 2,
        "dataset": "streets",
        "kind": "labels",
        "split": "test",
        "files": {**TIMED, "artifacts/prepare/test.zip": "0" * 64},
        "models": {
            name: {**quality[name], **{k: {"value": v} for k, v in costs[name].items()}} for name in quality
        } | {"real": {MIOU: scored(0.702, 0.008), PIXEL_ACCURACY: scored(0.911, 0.003)}},
        "differences": {
            "student_minus_teacher": {MIOU: scored(-0.0028, 0.006), FRECHET: scored(-0.121, 0.04)},
            "student_minus_baseline": {MIOU: scored(0.0583, 0.007), FRECHET: scored(-11.4, 1.3),
                                       L1_TO_TEACHER: scored(-0.039, 0.001)},
        },
        "collapse": {"teacher": None, "student": None, "baseline": "every photo is the same"},
    }  # fmt: skip


LATENCY = {
    "threads": 2,
    "device": "cpu",
    "files": TIMED,
    "models": {
        name: {"median_ms": ms, "p10_ms": ms, "p90_ms": ms, "runs": 30}
        for name, ms in {"teacher": 14.2, "student": 3.55, "baseline": 3.6}.items()
    },
}


def test_text_is_aligned_within_100_columns():
    for table in tables(evaluation(), LATENCY):
        lines = table.text().splitlines()
        assert max(map(len, lines)) <= 100, table.title
        rows = lines[2 : len(table.rows) + 2]
        ends = {line.rindex(cell) + len(cell) for line, cell in zip(rows, (r[-1] for r in table.rows), strict=True)}
        assert len(ends) == 1  # numbers end in one column


def test_quality_names_every_model_the_ceiling_and_a_collapse():
    text = tables(evaluation(), LATENCY)[0].text()
    assert "1,000 test photos of streets" in text
    assert "0.612 [0.603, 0.621]" in text and "0.120 [0.086, 0.154]" in text and "12.1 [10.9, 13.3]" in text
    assert "real photos: miou 0.702 [0.694, 0.710]" in text
    assert "baseline collapsed: every photo is the same" in text and "teacher collapsed" not in text
    row = next(line for line in text.splitlines() if line.strip().startswith("l1 to teacher"))
    assert row.split()[3] == "-"  # no teacher is compared with itself


def test_metrics_by_inception_follow_the_judges_under_their_whole_name():
    fid, kid = "fid_inception2015_bilinear299_test", "kid_inception2015_bilinear299_test"
    value = evaluation()
    for model in ("teacher", "student"):
        value["models"][model] = {kid: scored(0.0123, 0.001), fid: scored(61.53, 2.5)} | value["models"][model]
    value["differences"]["student_minus_teacher"][kid] = scored(-0.0123, 0.001)
    quality, differences, _ = tables(value, LATENCY)
    assert [row[0] for row in quality.rows][-2:] == [f"{kid} x 1000", fid]
    assert quality.rows[-1][1:] == ("61.5 [59.0, 64.0]", "61.5 [59.0, 64.0]", "-", "down")
    assert quality.rows[-2][1] == "12.3 [11.3, 13.3]"
    assert "or as named" in quality.title
    assert differences.rows[-1][:2] == (f"{kid} x 1000", "-12.3 [-13.3, -11.3] better")


def test_metrics_by_a_segmentation_network_are_shown_with_their_ceiling():
    name, value = "miou_onnx0123abcd_89abcdef_noresize_prepared_test", evaluation()
    for model, miou in (("teacher", 0.45), ("student", 0.42), ("real", 0.6)):
        value["models"][model] = value["models"][model] | {name: scored(miou, 0.01)}
    value["differences"]["student_minus_teacher"][name] = scored(-0.03, 0.01)
    quality, differences, _ = tables(value, LATENCY)
    assert quality.rows[-1] == (name, "0.450 [0.440, 0.460]", "0.420 [0.410, 0.430]", "-", "up")
    assert any(f"{name} 0.600 [0.590, 0.610]" in note for note in quality.notes) and "or as named" in quality.title
    assert differences.rows[-1][:2] == (name, "-0.030 [-0.040, -0.020] worse")


def test_cost_states_the_ratio_to_the_student_and_how_latency_was_taken():
    text = tables(evaluation(), LATENCY)[2].text()
    ratios = {line[:24].strip(): line.split()[-1] for line in text.splitlines() if line.rstrip().endswith("x")}
    assert ratios["MACs, true (G)"] == "10.1x" and ratios["MACs, legacy (G)"] == "10.1x"
    assert ratios["median latency (ms)"] == "4.0x" and len(ratios) == 6
    assert "30 passes on this machine's cpu, 2 threads" in text
    without = tables(evaluation(), None)[2].text()
    assert "median latency" not in without and "not timed" in without


@pytest.mark.parametrize("files", [None, {}, {**TIMED, "artifacts/distill/weights.safetensors": "f" * 64}])
def test_latencies_of_other_networks_are_left_out(files):
    text = tables(evaluation(), {**LATENCY, "files": files})[2].text()
    assert "median latency" not in text and "not timed" in text


def test_markdown_has_one_cell_a_column_and_the_same_numbers():
    for table in tables(evaluation(), LATENCY):
        lines = [line for line in table.markdown().splitlines() if line.startswith("|")]
        assert {line.count("|") for line in lines} == {len(table.header) + 1}
        assert len(lines) == len(table.rows) + 2
        assert all(cell in table.text() for row in table.rows for cell in row)


def test_text_out_of_data_stays_in_its_markdown_cell():
    text = Table("<b>", ("", "a"), (("a|b", "<script>"),), ("note <i>",)).markdown()
    assert "| a\\|b | &lt;script> |" in text and "<b>" not in text and "<i>" not in text


def test_names_full_of_markdown_are_shown_as_they_are():
    name = "a\\|b\n| c | ![](http://x.org/p.png) [l](//x.org) `|` **"
    shown = r"a&#92;\|b \| c \| !\[](http&#58;//x.org/p.png) \[l](//x.org) \`\|\` \*\*"
    text = Table(f"Quality of {name}", ("", name), ((name, "1 [0, 2]"),), (name,)).markdown()
    assert text.split("\n") == [f"**Quality of {shown}**", "", f"|  | {shown} |", "| --- | ---: |",
                                f"| {shown} | 1 \\[0, 2] |", "", shown]  # fmt: skip
    run = evaluation() | {"dataset": name, "collapse": {"student": f"{name} everywhere"}}
    text = tables(run, None)[0].markdown()
    assert f"photos of {shown}, by" in text and f"student collapsed: {shown} everywhere" in text


def test_a_verdict_has_failed_rules_first_and_says_why_they_failed():
    rules = (Finding("kid", "informational", "informational", "kid: 1", value=1.0),
             Finding(MIOU, "min", "passed", "fine", bound=0.5, value=0.6),
             Finding(MIOU, "max_worse_than_teacher", "failed", "miou is worse", 0.02, 0.6, 0.7, (-0.11, -0.09)),
             Finding("collapse", "none", "failed", "the student has collapsed"))  # fmt: skip
    table = verdict_table(Verdict(False, rules, {}, {}, "", "", "", {}))
    assert table.title == "Verdict: FAILED (2 failed, 1 passed, 1 informational)"
    assert table.rows[0] == ("miou", "max worse than teacher", "0.6", "0.7", "[-0.11, -0.09]", "0.02", "failed")
    assert [row[-1] for row in table.rows] == ["failed", "failed", "passed", "informational"]
    assert table.notes == ("miou is worse", "the student has collapsed")


@pytest.mark.parametrize(
    ("entry", "shown"),
    [
        (None, "-"),
        ({"value": None}, "-"),
        ({"value": 0.04867}, "0.04867"),
        (scored(0.41234, 0.0111), "0.412 [0.401, 0.423]"),
        (scored(134.2, 31.0), "134 [103, 165]"),
        (scored(0.41234, 0.0411), "0.41 [0.37, 0.45]"),
        (scored(0.5, 0.0), "0.500 [0.500, 0.500]"),
        (scored(0.5, 1e-12), "0.500000 [0.500000, 0.500000]"),
    ],
)
def test_an_interval_decides_the_decimals(entry, shown):
    assert estimate(entry) == shown


@pytest.mark.parametrize(
    ("metric", "value", "half", "word"),
    [
        (MIOU, 0.05, 0.01, "better"),
        (MIOU, -0.05, 0.01, "worse"),
        (FRECHET, 0.05, 0.01, "worse"),
        (FRECHET, -0.05, 0.01, "better"),
        (FRECHET, -0.05, 0.05, "unclear"),
        (MIOU, 0.05, 0.06, "unclear"),
    ],
)
def test_a_difference_is_read_in_the_metrics_direction(metric, value, half, word):
    assert reading(metric, scored(value, half)).endswith(f"] {word}")


def test_next_steps_name_files_below_the_root(tmp_path):
    assert any(str(tmp_path / "artifacts/evaluate/samples.png") in line for line in next_steps(tmp_path))
