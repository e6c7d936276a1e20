"""The page as text: what it shows of a whole run, and that nothing missing, damaged or hostile can spoil it."""

import base64
import hashlib
import itertools
import json
import os
import re
from html.parser import HTMLParser

import pytest
from finished_run import HOSTILE, STUDENT, finding, finished_run, git, lock, write_verdict

from understudy.errors import UserError
from understudy.files import write_json
from understudy.metrics.protocol import MIOU
from understudy.report.gather import part
from understudy.report.page import write_page
from understudy.report.render import prose, tone


class Read(HTMLParser):
    """Ids, headings, images, addresses and the text of every element that a reader sees."""

    def __init__(self, html):
        super().__init__()
        self.ids, self.headings, self.images, self.tags, self.text, self.links = [], [], [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.tags.append(tag)
        self.ids += [values["id"]] if "id" in values else []
        self.images += [values] if tag == "img" else []
        self.links += [values] if tag == "link" else []
        self.headings += [tag] if re.fullmatch("h[1-6]", tag) else []

    def handle_data(self, data):
        if self.tags and self.tags[-1] not in ("script", "style"):
            self.text.append(data)


def page(root):
    write_page(root, root / "report.html")
    html = (root / "report.html").read_text(encoding="utf-8")
    read = Read(html)
    return html, " ".join("".join(read.text).split()), read


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return finished_run(tmp_path_factory.mktemp("whole"))


@pytest.fixture
def run(tmp_path):
    return finished_run(tmp_path)


def test_sections_stand_in_order_and_none_lacks_its_files(whole):
    html, text, read = page(whole)
    order = ["verdict", "pictures", "curves", "classes", "widths", "relation", "cost", "data", "lineage", "again"]
    assert [name for name in read.ids if name in order] == order
    assert 'class="absent"' not in html.replace('<noscript><p class="absent">', "")
    for words in ("Failed", "max 0.6 failed against 0.3", "params.yaml: gate.max", "toy streets", "CC0-1.0",
                  "mIoU on the validation split", "median latency", "5 of 8", "above 0.9875", "photo is there",
                  "All 1 expectations were met", "output_weight", "python -m stages.teacher"):  # fmt: skip
        assert words in text, words


def test_failed_rules_come_first(whole):
    _, text, _ = page(whole)
    assert text.index("failed against 0.3") < text.index("passed against 0.5")


def test_nothing_comes_from_outside(whole):
    html, _, read = page(whole)
    assert not re.search(r"""(?:src|href|url\()\s*=?\s*["']?(?!data:|#)[\w/.]+""", html.split("<script>")[0])
    assert "http://" not in html and "https://" not in html
    assert all(image["src"].startswith("data:image/") for image in read.images if "src" in image)
    assert not {"iframe", "object", "embed", "base"} & set(read.tags)
    assert read.links == [{"rel": "icon", "href": "data:,"}], "an empty icon, so that none is asked for"


def test_the_policy_names_the_style_and_the_script_by_their_hashes(whole):
    html, _, _ = page(whole)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)[1].replace("&#39;", "'")
    assert "default-src 'none'" in policy and "unsafe" not in policy
    for tag in ("style", "script"):
        content = re.search(rf"<{tag}>(.*?)</{tag}>", html, re.DOTALL)[1]
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert " style=" not in html, "the policy blocks attributes"


def test_names_out_of_the_data_are_text_and_never_markup(whole):
    html, text, read = page(whole)
    assert HOSTILE not in html and HOSTILE in text and "road & verge" in text
    assert read.tags.count("script") == 2, "the page's own, and its data"


def test_headings_and_pictures_are_described(whole):
    _, _, read = page(whole)
    assert read.headings.count("h1") == 1
    levels = [int(tag[1]) for tag in read.headings]
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    described = [image["alt"] for image in read.images if image.get("src")]
    assert len(described) == 15 and "student of test image test-0: enlarge" in described
    assert len(read.ids) == len(set(read.ids))


def test_a_run_that_has_made_nothing_yet_is_a_page(tmp_path):
    (tmp_path / "artifacts").mkdir()
    html, text, _ = page(tmp_path)
    assert "No verdict" in text and "dvc repro gate makes it" in text and html.count('class="absent"') >= 8


def test_a_failed_stage_is_said_first_with_its_reason(run):
    write_json(
        run / ".understudy/status/check.json",
        {"stage": "check", "code": 4, "reason": "2 of 9 expectations failed\n  photos.there: <b>\x1b[31m"},
    )
    (run / "artifacts/check/result.json").unlink()
    html, text, _ = page(run)
    assert text.index("Not finished") < text.index("Stage check failed with code 4") < text.index("Rule by rule")
    assert "of an earlier run: the student did not meet its bar" in text and ">Failed</p>" not in html
    assert text.count("photos.there: <b>[31m") == 2 and "\x1b" not in html
    (run / ".understudy/status/check.json").write_text("{")
    assert "check.json cannot be read" in page(run)[1]


def write_status(run, stage, code, seconds_later):
    """The status of a stage, written that much later than its outputs."""
    path = run / f".understudy/status/{stage}.json"
    write_json(path, {"stage": stage, "code": code, "reason": "out of memory"})
    then = max(file.stat().st_mtime for file in (run / "artifacts" / stage).iterdir()) + seconds_later
    os.utime(path, (then, then))


def test_a_failure_that_its_outputs_have_outlived_is_none(run):
    write_status(run, "teacher", 1, -60)
    html, text, _ = page(run)
    assert "Not finished" not in text and ">Failed</p>" in html
    write_status(run, "teacher", 1, 60)  # run by hand, where nothing deletes what was there
    assert "Stage teacher failed with code 1" in page(run)[1]


def test_a_failure_stands_while_one_of_the_graph_s_outputs_is_missing(run):
    write_status(run, "teacher", 1, -60)
    outputs = [f"artifacts/teacher/{name}" for name in ("arch.json", "weights.safetensors")]
    metrics = {"artifacts/teacher/metrics.json": {"cache": False}}
    graph = {"stages": {"teacher": {"outs": outputs, "metrics": [metrics]}}}
    (run / "dvc.yaml").write_text(json.dumps(graph))
    assert "Not finished" not in page(run)[1]
    (run / outputs[1]).unlink()
    assert "Stage teacher failed with code 1" in page(run)[1]


def test_outputs_linked_from_a_cache_count_from_when_they_were_linked(run):
    write_status(run, "teacher", 1, -60)
    for path in (run / "artifacts/teacher").iterdir():
        os.utime(path, (0, 0))
        os.link(path, run / path.name)
    assert "Not finished" not in page(run)[1]


@pytest.mark.parametrize("code", [75, 130])
def test_a_stage_that_was_stopped_has_not_failed(code, run):
    write_status(run, "distill", code, 60)
    html, text, _ = page(run)
    assert f"Stage distill was stopped with code {code}, and goes on when it is run again" in text
    assert '<p class="verdict none">Not finished</p>' in html and "Stage distill failed" not in text


def test_a_status_that_is_being_written_is_none(run):
    (run / ".understudy/status").mkdir(parents=True)
    (run / ".understudy/status/.teacher.123.json").write_text("{")
    assert "Not finished" not in page(run)[1]


def test_parameters_are_those_that_the_run_was_made_with(run):
    relation = "{weight: 1.0, norm: l2, centred: false}"
    lock(run, teacher={"base": {"seed": 1}}, distill={"base": {"seed": 0}, "distill": {"relation": relation}})
    (run / "params.yaml").write_text("base: {seed: 0}\ndistill:\n  relation: {weight: 0, norm: l2, centred: true}\n")
    html, text, _ = page(run)
    assert "This student was not trained with it" not in text and "less its mean" not in text
    assert "Parameters, from dvc.lock" in text and "<dt>relation.weight</dt><dd>1.0</dd>" in html
    assert ("params.yaml is no longer what this run was made with: distill.relation.weight is 0 there and was 1.0; "
            "distill.relation.centred is True there and was False.") in text  # fmt: skip
    assert "The stages were not all run with the same base.seed: 1 for teacher, 0 for distill." in text
    (run / "params.yaml").unlink()
    assert "params.yaml is not there." in page(run)[1]
    lock(run, distill={"distill": {"relation": relation.replace("1.0", "0.0")}})
    assert "This student was not trained with it" in page(run)[1]


def test_without_a_lock_parameters_are_said_to_be_of_now(whole):
    assert "These are those of params.yaml now: no dvc.lock says what the run was made with." in page(whole)[1]


def test_a_damaged_lock_is_said(run):
    (run / "dvc.lock").write_text("stages: [")
    assert re.search('class="absent">dvc.lock cannot be read as YAML', page(run)[0])


def test_the_commit_is_that_of_the_code_now_and_a_changed_lock_is_said(run, monkeypatch):
    monkeypatch.setattr("understudy.lineage.CODE", run)
    lock(run, teacher={"base": {"seed": 0}})
    (run / "lineage.py").write_text("")
    git(run, "init", "-q")
    git(run, "add", "lineage.py", "dvc.lock")
    git(run, "commit", "-q", "-m", "one")
    _, text, _ = page(run)
    assert "git commit when this page was made" in text and "what this page was made of" in text
    assert "not committed" not in text and "not as in the last commit" not in text
    assert "git commit of understudy itself" not in text
    lock(run, teacher={"base": {"seed": 1}})
    _, text, _ = page(run)
    assert "with changes that are not committed" in text and ", not as in the last commit" in text
    assert "# what this page was made of, less its changes that are not committed" in text


@pytest.mark.parametrize("name", ["artifacts/gate/verdict.json", "params.yaml", "dvc.lock"])
def test_what_cannot_be_read_is_named_with_what_makes_it(name):
    found = part(lambda: {}["key"], name).absent
    assert found.startswith(f"{name}: not what ") and ("`dvc repro -sf gate`" in found) == ("gate" in name)


def test_a_rule_of_another_shape_names_the_verdict(run):
    path = run / "artifacts/gate/verdict.json"
    verdict = json.loads(path.read_text())
    verdict["rules"][0]["metric"] = 3
    write_json(path, verdict)
    assert re.search('class="absent">artifacts/gate/verdict.json: not what gate writes', page(run)[0])


@pytest.mark.parametrize(
    ("name", "still"),
    [
        ("artifacts/evaluate/evaluation.json", "Rule by rule"),
        ("artifacts/gate/verdict.json", "Quality on 200 test photos"),
        ("artifacts/prepare/test.zip", "Quality on 200 test photos"),
        ("artifacts/prepare/dataset.json", "Quality on 200 test photos"),
        ("artifacts/teacher/arch.json", "Quality on 200 test photos"),
        (STUDENT, "teacher of test image"),
        ("artifacts/distill/curves.csv", "mIoU on the validation split"),
        ("artifacts/distill/validation.csv", "Reconstruction"),
        ("artifacts/check/result.json", "toy streets"),
        ("artifacts/prune/arch.json", "Reconstruction"),
        ("params.yaml", "Reconstruction"),
    ],
)
@pytest.mark.parametrize("damage", ["missing", "truncated", "of another shape"])
def test_a_file_that_is_missing_or_damaged_is_said_and_the_rest_is_shown(name, still, damage, run):
    path = run / name
    content = path.read_bytes()
    path.unlink()
    if damage == "truncated":
        path.write_bytes(content[: len(content) // 2] + b"\x00{,")
    elif damage == "of another shape":
        path.write_text('{"schema": 1, "models": {"student": []}, "files": {}, "rules": 3, "results": [1], "data": {}}')
    html, text, _ = page(run)
    assert still in html + text
    assert re.search(f'class="(absent|note)">[^<]*{path.name}', html), name


def test_other_weights_are_not_shown_as_this_run_s(run):
    path = run / STUDENT
    path.write_bytes((run / "artifacts/baseline/weights.safetensors").read_bytes())
    _, text, read = page(run)
    assert "The student is not shown: artifacts/distill/weights.safetensors (SHA-256" in text
    assert "is not the file that was evaluated" in text and "changed since" in text
    assert not any("student of" in image["alt"] for image in read.images)
    assert "There is no student to show" in text
    assert "median latency" in text, "those were of the networks that were evaluated"


def test_another_test_split_is_not_shown_as_this_run_s(run):
    with (run / "artifacts/prepare/test.zip").open("ab") as archive:
        archive.write(b"more")
    _, text, read = page(run)
    assert "test.zip (SHA-256" in text and not read.images[:-3]


def test_a_verdict_on_another_evaluation_says_so(run):
    write_verdict(run, finding("passed", MIOU, "min", 0.5))
    path = run / "artifacts/evaluate/evaluation.json"
    path.write_text(path.read_text() + "\n")
    assert "This verdict is about another evaluation" in page(run)[1]


def test_what_cannot_be_written_is_an_error(run):
    with pytest.raises(UserError, match="cannot be written"):
        write_page(run, run / "params.yaml" / "report.html")
    with pytest.raises(UserError, match="no run here"):
        write_page(run / "nowhere", run / "report.html")


@pytest.mark.parametrize(
    ("cell", "kind"), [("0.1 [0.0, 0.2] better", "good"), ("-1 worse", "bad"), ("0.5 unclear", ""), ("failed", "bad")]
)
def test_the_word_decides_the_colour(cell, kind):
    assert tone(cell) == kind


def test_backticks_become_code_and_nothing_becomes_markup():
    assert prose("run `dvc <x>` & look") == "run <code>dvc &lt;x&gt;</code> &amp; look"
    assert prose("a ` alone <b>") == "a ` alone &lt;b&gt;"


def test_a_set_without_pairs_is_described_by_both_sides(run):
    path = run / "artifacts/prepare/dataset.json"
    info = json.loads(path.read_text())
    info |= {"kind": "unpaired", "counts": {"test": 1200}, "photo_counts": {"test": 1400}, "classes": [], "palette": []}
    path.write_text(json.dumps(info))
    html, text, _ = page(run)
    assert "photos of two domains, no pairs." in text
    assert '<dt>test inputs, photos</dt><dd class="value">1,200, 1,400</dd>' in html
