"""The sections of the parameters that say how a model is scored, together."""

from dataclasses import dataclass

from understudy.params.base import Base
from understudy.params.evaluate import Evaluate
from understudy.params.runtime import Runtime


@dataclass(frozen=True)
class Scoring:
    base: Base
    runtime: Runtime
    evaluate: Evaluate
