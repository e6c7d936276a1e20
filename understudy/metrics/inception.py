"""Inception v3 as FID knows it: the TensorFlow release of 2015-12-05, whose last average pool describes a photo.

Szegedy et al. 2016 describe the network, Heusel et al. 2017 the use. It is torchvision's, with three differences of the
release: average pooling in the A, C and first E blocks leaves the padding out of the average, the last E block pools by
the maximum, and there are 1008 logits. Weights are a state dict under torchvision's names, as in the public file
`pt_inception-2015-12-05-6726825d.pth`; docs/metrics.md says where to get it.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.inception import (
    BasicConv2d,
    Inception3,
    InceptionA,
    InceptionAux,
    InceptionB,
    InceptionC,
    InceptionD,
    InceptionE,
)

from understudy.errors import UserError
from understudy.files import sha256
from understudy.metrics import resize as resizing
from understudy.metrics.protocol import Resize
from understudy.metrics.resize import resize
from understudy.state_dict import read_state

DIMS = 2048  # features of a photo
LOGITS = 1008
BATCH = 16  # photos at once: a matter of memory alone
COUNTER = "num_batches_tracked"  # of a batch norm: only training reads it, and not every file has it


def build_inception() -> Inception3:
    """The network with torch's own first weights, in eval mode; it returns logits [N, 1008]. Nothing is fetched."""
    blocks = [BasicConv2d, _BlockA, InceptionB, _BlockC, InceptionD, _BlockE, InceptionAux]
    net = Inception3(LOGITS, aux_logits=False, inception_blocks=blocks, init_weights=False)
    assert isinstance(net.Mixed_7c, _BlockE)
    net.Mixed_7c.largest = True
    return net.eval().requires_grad_(False)


def load_inception(data: bytes, where: str) -> nn.Module:
    """Weights -> the network in eval mode, on the CPU, from photos as `resize` gives them to features [N, 2048].

    data: a file's content, of safetensors or of torch.save; of the latter only tensors are read, no code. where: the
    file's name for the UserError when it is neither, or its tensors are not this network's.
    """
    net = build_inception()
    given = {name: value for name, value in read_state(data, where).items() if not name.endswith(COUNTER)}
    own = net.state_dict()
    expected = {name: value for name, value in own.items() if not name.endswith(COUNTER)}
    wrong = [f"{name} is missing" for name in expected if name not in given]
    wrong += [f"{name} is none of the network's" for name in given if name not in expected]
    wrong += [f"{name} is {list(given[name].shape)}, expected {list(value.shape)}"
              for name, value in expected.items() if name in given and given[name].shape != value.shape]  # fmt: skip
    if wrong:
        raise UserError(f"{where}: not the weights of the TensorFlow release's Inception ({wrong[0]}; {len(wrong)} "
                        "tensors in all do not fit); docs/metrics.md names the file")  # fmt: skip
    net.load_state_dict(own | given)
    net.fc = nn.Identity()  # what is left is the average pool's output
    return net


def feature_code() -> str:
    """What the features of given weights and photos follow from besides: hashes of the code that computes them."""
    own = (sha256(Path(file)) for file in (__file__, resizing.__file__))
    return " ".join([*own, torchvision.__version__])


@torch.no_grad()
def features(net: nn.Module, photos: Tensor, how: Resize) -> Iterator[Tensor]:
    """What the network sees in photos uint8 [N, 3, H, W], batch by batch: float32 [B, 2048], on the CPU.

    net: of `load_inception`. how: the protocol by which photos come to 299 px.
    """
    if net.training:
        raise ValueError("the network is in training mode; call eval() first")
    device = next(net.parameters()).device
    for some in photos.split(BATCH):
        yield net(resize(some.to(device), how)).cpu()


def _average(x: Tensor) -> Tensor:
    """3 x 3 average of the pixels that are there, of the same size. float [N, C, H, W]."""
    return F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class _BlockA(InceptionA):
    def _forward(self, x: Tensor) -> list[Tensor]:
        wide = self.branch5x5_2(self.branch5x5_1(x))
        deep = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return [self.branch1x1(x), wide, deep, self.branch_pool(_average(x))]


class _BlockC(InceptionC):
    def _forward(self, x: Tensor) -> list[Tensor]:
        once = self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x)))
        twice = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        twice = self.branch7x7dbl_5(self.branch7x7dbl_4(twice))
        return [self.branch1x1(x), once, twice, self.branch_pool(_average(x))]


class _BlockE(InceptionE):
    largest = False  # whether the pooled branch takes the maximum, as the release's last block does

    def _forward(self, x: Tensor) -> list[Tensor]:
        once = self.branch3x3_1(x)
        twice = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        pooled = F.max_pool2d(x, 3, stride=1, padding=1) if self.largest else _average(x)
        return [
            self.branch1x1(x),
            self.branch3x3_2a(once),
            self.branch3x3_2b(once),
            self.branch3x3dbl_3a(twice),
            self.branch3x3dbl_3b(twice),
            self.branch_pool(pooled),
        ]
