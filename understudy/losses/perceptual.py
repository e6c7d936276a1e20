"""The perceptual loss: two images compared by the features of VGG-19, a network trained on ImageNet.

Johnson et al. 2016, in pix2pixHD's and GauGAN's form (Wang et al. 2018; Park et al. 2019): L1 distances at relu1_1,
relu2_1, relu3_1, relu4_1 and relu5_1, weighted by 1/32, 1/16, 1/8, 1/4 and 1.

Deliberate difference from the released code, which gives VGG images in [-1, 1]: they are normalised as VGG was trained.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import vgg19

from understudy.errors import UserError
from understudy.fetch import read_verified
from understudy.losses.precision import widen
from understudy.params.objective import Perceptual
from understudy.state_dict import read_state

KEY = "objective.gaugan.perceptual"
LAYERS = (1, 6, 11, 20, 29)  # of vgg19().features: relu1_1 to relu5_1
WEIGHTS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1.0)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's photos in [0, 1]


class VggDistance(nn.Module):
    """Images float [N, 3, H, W] in [-1, 1], H and W at least 16 -> their weighted distance, a scalar >= 0.

    features: `vgg19().features`; frozen here. No gradient reaches `real`.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, features: nn.Sequential) -> None:
        super().__init__()
        self.features = features[: LAYERS[-1] + 1].eval().requires_grad_(False)
        for part in self.features:
            if isinstance(part, nn.ReLU):
                part.inplace = False  # the features before it are compared later
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))

    def forward(self, fake: Tensor, real: Tensor) -> Tensor:
        with torch.no_grad():
            targets = self._see(real)
        distances = [
            weight * F.l1_loss(widen(ours), widen(theirs))
            for weight, ours, theirs in zip(WEIGHTS, self._see(fake), targets, strict=True)
        ]
        return torch.stack(distances).sum()

    def _see(self, images: Tensor) -> list[Tensor]:
        x = ((images + 1) / 2 - self.mean) / self.std
        seen = []
        for index, part in enumerate(self.features):
            x = part(x)
            if index in LAYERS:
                seen.append(x)
        return seen


def vgg_distance(params: Perceptual) -> VggDistance:
    """The distance with the weights that the section names, on the CPU.

    Raises UserError when they cannot be had, or are not VGG-19's.
    """
    where = f"{KEY}: {params.weights}"
    tensors = read_state(read_verified(params.weights, params.sha256, f"{KEY}.weights"), where)
    own = {name.removeprefix("features."): value for name, value in tensors.items() if name.startswith("features.")}
    with torch.device("meta"):
        features = vgg19(weights=None).features
    try:
        features.load_state_dict(own, assign=True)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise UserError(f"{where}: not the state dict of torchvision's vgg19 ({reason})") from None
    return VggDistance(features)
