from dataclasses import replace

import numpy as np

from understudy.arch.branches import Branches
from understudy.arch.inception import inception
from understudy.arch.resnet import resnet
from understudy.arch.spade import spade
from understudy.arch.unet import unet
from understudy.prune.picture import AFTER, BEFORE, GONE, widths_picture

TEACHER = inception(8, 3, 4, "batch", "zero", "rgb", 3, (32, 32))


def share(image, colour):
    return (np.asarray(image) == colour).all(-1).mean()


def test_bars_shrink_with_the_widths_and_removed_branches_show():
    whole = widths_picture(TEACHER, TEACHER, "")
    halved = replace(TEACHER, stem=(4, 8, 16), blocks=(Branches({"3": 4}, {}), *TEACHER.blocks[1:]))
    pruned = widths_picture(TEACHER, halved, "")
    assert whole.size == pruned.size and whole.mode == "RGB"
    assert share(pruned, AFTER) < share(whole, AFTER)
    assert share(pruned, BEFORE) > share(whole, BEFORE) == 0
    assert share(pruned, GONE) > 0 == share(whole, GONE)


def test_every_family_has_its_picture():
    whole = resnet(8, 3, "batch", "zero", "rgb", 3, (32, 32))
    pruned = widths_picture(whole, replace(whole, blocks=(4, 0, 32)), "")
    assert share(pruned, GONE) > 0 and share(pruned, BEFORE) > 0
    whole = unet(8, 3, "batch", "rgb", 3, (32, 32))
    pruned = widths_picture(whole, replace(whole, down=(8, 3, 5), up=(16, 1)), "")
    assert share(pruned, GONE) == 0 < share(pruned, AFTER) and share(pruned, BEFORE) > 0
    whole = spade(8, 6, "rgb", 3, (64, 64))
    pruned = widths_picture(whole, whole.with_widths({**whole.widths(), "blocks.2.spade.conv.3": 0, "stem": 64}), "")
    assert share(pruned, GONE) > 0 and share(pruned, BEFORE) > 0
