from understudy.tail import Tail
from understudy.train.log import Log


def test_tail_gives_each_whole_line_once(tmp_path):
    path = tmp_path / "log.jsonl"
    tail = Tail(path)
    assert tail.read() == []
    path.write_text('{"event": "start"}\n{"event": "st')
    assert tail.read() == [{"event": "start"}]
    with path.open("a") as stream:
        stream.write('ep", "step": 10}\n')
    assert tail.read() == [{"event": "step", "step": 10}]
    assert tail.read() == []
    # A resumed training replaces the file: everything is read again.
    Log(path, resumed_at=5).write("step", step=10)
    assert [record["event"] for record in tail.read()] == ["start", "step"]


def test_what_is_no_record_is_left_out(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"event": "start"}\n\x00\x00\n17\n{"step": 3}\n\xff{"event"\n{"event": "end"}\n')
    assert [record["event"] for record in Tail(path).read()] == ["start", "end"]


def test_a_log_that_was_cut_is_read_again(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"event": "start"}\n{"event": "step"}\n')
    tail = Tail(path)
    assert len(tail.read()) == 2
    with path.open("r+") as stream:
        stream.truncate(19)
    assert tail.read() == [{"event": "start"}]
