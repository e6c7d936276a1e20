import subprocess
import sys
import time

from understudy.locks import held, holder

HOLD = "import sys, time; from pathlib import Path; from understudy.locks import held\n" \
       "with held(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"  # fmt: skip


def other(path, repo):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], cwd=repo, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def test_one_process_holds_it_and_others_see_who(tmp_path, repo):
    path = tmp_path / "new/lock"
    assert holder(path) is None
    process = other(path, repo)
    try:
        assert holder(path) == process.pid
        start = time.monotonic()
        with held(path, wait=0.3) as mine:
            assert not mine and 0.3 <= time.monotonic() - start < 10
        assert holder(path) == process.pid  # whoever could not have it changed nothing
    finally:
        process.kill()
        process.wait()
    assert holder(path) is None
    with held(path, wait=0) as mine:
        assert mine
    assert holder(path) is None


def test_waiting_ends_when_the_holder_dies(tmp_path, repo):
    process = other(tmp_path / "lock", repo)
    process.kill()
    with held(tmp_path / "lock") as mine:
        assert mine
    process.wait()
