"""Scores of channels as no training left them: none stands out, and no two are the same."""

import numpy as np


def generic_scores(arch, seed=0):
    random = np.random.default_rng(seed)
    return {name: np.abs(random.normal(1, 0.3, width)) for name, width in arch.widths().items()}
