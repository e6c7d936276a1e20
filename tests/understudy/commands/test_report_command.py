"""Where the page goes; what is on it is tested in report/."""

from toy_run import write_evaluation
from verbs import understudy

from understudy.errors import BAD_INPUT, OK


def test_report_of_a_folder_that_holds_no_run_is_refused(tmp_path, capsys):
    for root in (tmp_path, tmp_path / "nowhere"):
        code, _, err = understudy(capsys, "report", "--root", root)
        assert code == BAD_INPUT and f"{root}: no run here" in err and not list(tmp_path.iterdir())


def test_report_is_written_into_the_root_or_where_asked(tmp_path, capsys):
    write_evaluation(tmp_path)
    code, out, _ = understudy(capsys, "report", "--root", tmp_path)
    assert code == OK and f"Look first at {tmp_path / 'report.html'}" in out
    assert "Quality on 200 test photos of toy" in (tmp_path / "report.html").read_text()
    assert understudy(capsys, "report", "--root", tmp_path, "--output", tmp_path / "pages/other.html")[0] == OK
    assert (tmp_path / "pages/other.html").stat().st_size == (tmp_path / "report.html").stat().st_size


def test_report_against_no_revision_is_one_line(tmp_path, capsys):
    write_evaluation(tmp_path)
    code, _, err = understudy(capsys, "report", "--root", tmp_path, "--against", "HEAD")
    assert code == BAD_INPUT and err.count("\n") == 1 and "repository of git and DVC" in err
