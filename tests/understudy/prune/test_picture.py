from dataclasses import replace

import numpy as np

from understudy.arch import Block, inception
from understudy.prune.picture import AFTER, BEFORE, GONE, widths_picture

TEACHER = inception(8, 3, 4, "batch", "zero", "rgb", 3, (32, 32))


def share(image, colour):
    return (np.asarray(image) == colour).all(-1).mean()


def test_bars_shrink_with_the_widths_and_removed_branches_show():
    whole = widths_picture(TEACHER, TEACHER, "")
    halved = replace(TEACHER, stem=(4, 8, 16), blocks=(Block({"3": 4}, {}), *TEACHER.blocks[1:]))
    pruned = widths_picture(TEACHER, halved, "")
    assert whole.size == pruned.size and whole.mode == "RGB"
    assert share(pruned, AFTER) < share(whole, AFTER)
    assert share(pruned, BEFORE) > share(whole, BEFORE) == 0
    assert share(pruned, GONE) > 0 == share(whole, GONE)
