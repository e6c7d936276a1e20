"""The judge: a small segmentation network that reads the label map back from a photo, and whose features describe it.

A translation is good when a network that knows real photos finds in it what the label map asked for (mIoU; Isola et al.
2017, section 3.4, the "FCN score"), and when its features are distributed like those of real photos (Frechet distance).
The judge is trained on real pairs only and is never part of a loss.

A U-Net (Ronneberger et al. 2015) with two convolutions a level in the encoder and one in the decoder. Full resolution
is the costliest and gets few channels: it is there so that thin things keep their edges.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from understudy.errors import UserError
from understudy.files import read_json, write_json
from understudy.tensors import load_weights, save_weights

SCHEMA = 1
STRIDE = 16  # of the coarsest level: inputs are padded to a multiple of it


class JudgeNet(nn.Module):
    """Photo float [N, 3, H, W] in [-1, 1] -> logits float [N, K, H, W], for any H and W of 1 px or more.

    num_classes: K, the ignored class included (its logit is never trained and is left out when scoring).
    width: channels at half resolution; 2, 4 and 4 times as many at a quarter, an eighth and a sixteenth.
    """

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        self.num_classes, self.width = num_classes, width
        half = max(width // 2, 1)
        self.fine = _conv(3, half)  # stride 1
        self.down1 = nn.Sequential(_conv(half, width, stride=2), _conv(width, width))
        self.down2 = nn.Sequential(_conv(width, 2 * width, stride=2), _conv(2 * width, 2 * width))
        self.down3 = nn.Sequential(_conv(2 * width, 4 * width, stride=2), _conv(4 * width, 4 * width))
        self.down4 = nn.Sequential(_conv(4 * width, 4 * width, stride=2), _conv(4 * width, 4 * width))
        self.context = nn.Linear(4 * width, 4 * width)  # what the whole image shows, added at every place
        self.up3 = _conv(8 * width, 4 * width)
        self.up2 = _conv(6 * width, 2 * width)
        self.up1 = _conv(3 * width, width)
        self.up0 = _conv(width + half, half)
        self.logits = nn.Conv2d(half, num_classes, 1)

    @property
    def dims(self) -> int:
        """D, the number of features of one photo."""
        return 3 * self.width

    def macs(self, height: int, width: int) -> int:
        """Multiply-accumulates for one photo. The network itself is left untouched."""
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            JudgeNet(self.num_classes, self.width)(torch.empty(1, 3, height, width))
        return counter.get_total_flops() // 2

    def forward(self, photo: Tensor) -> Tensor:
        return self._levels(photo)[0]

    def observe(self, photo: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [N, K, H, W], and the features [N, D] behind the Frechet distance and KID.

        The features are activations (after batch norm and ReLU, hence not negative) averaged over the photo: `width`
        channels of the encoder at half resolution, which see 9 px and answer to edges, texture, noise and blur, and
        2 `width` channels of the decoder at a quarter, which see the whole photo and answer to what is in it.
        """
        logits, texture, content = self._levels(photo)
        features = [level.float().mean(dim=(2, 3)) for level in (texture, content)]  # [N, C, h, w] -> [N, C]
        return logits, torch.cat(features, dim=1)

    def _levels(self, photo: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if photo.dim() != 4 or photo.shape[1] != 3:
            raise ValueError(f"expected photos [N, 3, H, W], found {list(photo.shape)}")
        height, width = photo.shape[2:]
        x0 = self.fine(F.pad(photo, (0, -width % STRIDE, 0, -height % STRIDE), mode="replicate"))  # [N, W/2, H', W']
        x1 = self.down1(x0)  # [N, W, H'/2, W'/2]
        x2 = self.down2(x1)  # [N, 2W, H'/4, W'/4]
        x3 = self.down3(x2)  # [N, 4W, H'/8, W'/8]
        x4 = self.down4(x3)  # [N, 4W, H'/16, W'/16]
        x4 = x4 + self.context(x4.mean(dim=(2, 3)))[:, :, None, None]
        y3 = self.up3(torch.cat((_double(x4), x3), dim=1))  # [N, 4W, H'/8, W'/8]
        y2 = self.up2(torch.cat((_double(y3), x2), dim=1))  # [N, 2W, H'/4, W'/4]
        y1 = self.up1(torch.cat((_double(y2), x1), dim=1))  # [N, W, H'/2, W'/2]
        y0 = self.up0(torch.cat((_double(y1), x0), dim=1))  # [N, W/2, H', W']
        return self.logits(y0)[:, :, :height, :width], x1, y2


def _conv(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


def _double(x: Tensor) -> Tensor:
    """Nearest-neighbour upsampling by 2; spelled out because interpolate's gradient is not deterministic on a GPU."""
    n, c, h, w = x.shape
    return x[:, :, :, None, :, None].expand(n, c, h, 2, w, 2).reshape(n, c, 2 * h, 2 * w)


def save_judge(net: JudgeNet, folder: Path) -> None:
    """Write judge.json and weights.safetensors into `folder`."""
    write_json(folder / "judge.json", {"schema": SCHEMA, "num_classes": net.num_classes, "width": net.width})
    save_weights(net, folder / "weights.safetensors")


def load_judge(folder: Path, num_classes: int) -> JudgeNet:
    """The judge that `save_judge` wrote, in eval mode, on the CPU.

    Raises UserError when it is missing, damaged, or knows another number of classes than the data.
    """
    description = folder / "judge.json"
    value = read_json(description)
    if not isinstance(value, dict) or value.get("schema") != SCHEMA:
        raise UserError(f"{description}: not a judge of schema {SCHEMA}; run `dvc repro judge`")
    try:
        net = JudgeNet(int(value["num_classes"]), int(value["width"]))
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{description}: not a judge ({error!r}); run `dvc repro judge`") from None
    if net.num_classes != num_classes:
        raise UserError(f"{description}: knows {net.num_classes} classes, the data have {num_classes}; "
                        "run `dvc repro judge`")  # fmt: skip
    return load_weights(net, folder / "weights.safetensors").eval().requires_grad_(False)


def predict(logits: Tensor, ignore: int | None) -> Tensor:
    """The likeliest class of every pixel, never the ignored one. [N, K, H, W] -> int64 [N, H, W]."""
    if ignore is not None and ignore < logits.shape[1]:
        logits = logits.clone()
        logits[:, ignore] = -torch.inf
    return logits.argmax(1)
