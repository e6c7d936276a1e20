"""The judge: the network that scores translations, of the architecture that the data's kind asks for.

It is trained on real images alone and is never part of a loss. `segmenter.py`, `inverter.py` and `classifier.py` say
what each reads in a photo.
"""

from collections.abc import Mapping
from pathlib import Path

from understudy.data.prepared import DatasetInfo
from understudy.data.terms import Kind
from understudy.errors import UserError
from understudy.files import read_json, write_json
from understudy.metrics.classifier import Classifier
from understudy.metrics.inverter import Inverter
from understudy.metrics.judge_net import JudgeNet
from understudy.metrics.protocol import JUDGES
from understudy.metrics.segmenter import Segmenter
from understudy.tensors import load_weights, save_weights

SCHEMA = 2  # 1 knew segmenters alone
NETS: Mapping[Kind, type[JudgeNet]] = {"labels": Segmenter, "photos": Inverter, "unpaired": Classifier}


def build_judge(info: DatasetInfo, width: int) -> JudgeNet:
    """An untrained judge of data of this kind."""
    if info.kind == "labels":
        return Segmenter(info.num_classes, width, info.ignore)
    return Inverter(width) if info.kind == "photos" else Classifier(width)


def save_judge(net: JudgeNet, folder: Path) -> None:
    """Write judge.json and weights.safetensors into `folder`."""
    description = {"schema": SCHEMA, "kind": net.kind, "num_classes": net.num_classes, "width": net.width}
    write_json(folder / "judge.json", description)
    save_weights(net, folder / "weights.safetensors")


def load_judge(folder: Path, info: DatasetInfo) -> JudgeNet:
    """The judge that `save_judge` wrote, in eval mode, on the CPU.

    Raises UserError when it is missing, damaged, of another kind of data, or knows another number of classes.
    """
    description = folder / "judge.json"
    value = read_json(description)
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise UserError(f"{description}: not a judge of schema {SCHEMA}; run `dvc repro judge`")
    try:
        kind, classes, width = value["kind"], int(value["num_classes"]), int(value["width"])
        judge = JUDGES[kind]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{description}: not a judge ({error!r}); run `dvc repro judge`") from None
    if kind != info.kind:
        raise UserError(f"{description}: a {judge}, of data of kind {kind}; {info.name} is of kind {info.kind}; "
                        "run `dvc repro judge`")  # fmt: skip
    if classes != info.num_classes:
        raise UserError(f"{description}: knows {classes} classes, the data have {info.num_classes}; "
                        "run `dvc repro judge`")  # fmt: skip
    return load_weights(build_judge(info, width), folder / "weights.safetensors").eval().requires_grad_(False)
