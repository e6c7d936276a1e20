"""The front of a sweep, its table and its drawing."""

import xml.etree.ElementTree as ET

from understudy.metrics import protocol
from understudy.metrics.protocol import MIOU
from understudy.report.pareto import Point, front, pareto_drawing, pareto_table

KID = protocol.KID["labels"]


def point(budget: float, miou: float, kid: float, macs: float | None = None, outcome: str = "passed") -> Point:
    student = {MIOU: {"value": miou, "low": miou - 0.01, "high": miou + 0.01},
               KID: {"value": kid, "low": kid / 2, "high": kid * 2},
               "macs_true_g": {"value": macs or budget}, "params_m": {"value": 1.0}}  # fmt: skip
    teacher = {MIOU: {"value": 0.6}, "macs_true_g": {"value": 0.5}}
    return Point(budget, {"student": student, "teacher": teacher}, outcome)


SMALL, MIDDLE, LARGE = point(0.02, 0.4, 0.03), point(0.04, 0.38, 0.02), point(0.08, 0.5, 0.02)


def test_a_student_that_another_beats_is_not_on_the_front():
    points = [LARGE, MIDDLE, SMALL]
    assert front(points, MIOU) == [SMALL, LARGE]  # higher is better
    assert front(points, KID) == [SMALL, MIDDLE]  # lower is better; as good and larger is beaten
    same = point(0.09, 0.5, 0.02, macs=0.08)
    assert front([LARGE, same], MIOU) == [LARGE, same]


def test_the_table_has_a_row_for_each_budget_and_one_that_came_to_nothing():
    table = pareto_table([LARGE, Point(0.01, None, "DataRefused"), SMALL, MIDDLE], "G MACs, true")
    assert [row[0] for row in table.rows] == ["0.01", "0.02", "0.04", "0.08"]
    assert table.rows[0][-1] == "DataRefused" and set(table.rows[0][1:-1]) == {"-"}
    columns = dict(zip(table.header, table.rows[2], strict=True))
    assert columns["miou"] == "0.380 [0.370, 0.390]" and columns["kid x 1000"].endswith("*")
    assert "the teacher, 0.5 G MACs: " in table.notes[1]


def test_the_drawing_is_a_file_of_its_own():
    drawing = pareto_drawing([SMALL, MIDDLE, LARGE, Point(0.01, None, "Crashed")])
    root = ET.fromstring(str(drawing))
    assert root.tag == "{http://www.w3.org/2000/svg}svg" and "on the front 0.02, 0.08" in root.get("aria-label", "")
    assert "http" not in str(drawing).replace("http://www.w3.org/2000/svg", "")
    dots = list(root.iter("{http://www.w3.org/2000/svg}circle"))
    assert len(dots) == 6 and sum("baseline" in one.get("class", "") for one in dots) == 2
