"""The graph by name: its stages, the networks they make, and what they leave outside DVC's outputs.

What the verdict is about (evaluation, data, judge, student) is named in gate.py. Stages name their own files and import
nothing from here: rewording this retrains nothing.
"""

from understudy.errors import INTERRUPTED, PREEMPTED

STAGES = (
    "prepare",
    "check",
    "judge",
    "teacher",
    "prune",
    "distill",
    "baseline",
    "evaluate",
    "export",
    "gate",
)  # in their order
NETWORKS = {"teacher": "teacher", "student": "distill", "baseline": "baseline"}  # name: the stage that made the network
# Under ROOT.
STATUS = ".understudy/status"  # STAGE.json: how the last run of each stage ended
LATENCY = ".understudy/evaluate/latency.json"
STOPPED = (PREEMPTED, INTERRUPTED)  # exit codes of a stage that was stopped from outside: run again, it goes on
