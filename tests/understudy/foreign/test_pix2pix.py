"""Networks of the public layout, written by torch, become networks of ours that make the same pixels."""

import pytest
import torch
from public_layout import Resnet, Unet

from understudy.arch.families import build
from understudy.arch.unet import UnetArch
from understudy.errors import UserError
from understudy.foreign.pix2pix import recognise

NORMS = ("batch", "instance", "instance_affine")


def trained(net):
    """The network with statistics and scales of its own, in eval mode."""
    generator = torch.Generator().manual_seed(0)
    for name, value in net.state_dict().items():
        if value.is_floating_point():
            drawn = torch.empty(value.shape).normal_(0, 0.3, generator=generator)
            value.copy_(drawn.abs() + 0.5 if name.endswith(("running_var", "norm.weight")) else drawn)
    return net.eval()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("blocks", [6, 9])
def test_a_public_resnet_makes_the_same_pixels_here(norm, dropout, blocks):
    there = trained(Resnet(4, blocks, norm, dropout))
    arch, weights = recognise(there.state_dict(), (32, 48), "rgb", "G.pth")
    assert (arch.family, arch.norm, len(arch.blocks), arch.size) == ("resnet", norm, blocks, (32, 48))
    here = build(arch).eval()
    here.load_state_dict(weights)
    x = torch.rand(2, 3, 32, 48, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(here(x), there(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("dropout", [False, True])
@pytest.mark.parametrize("levels", [5, 7])
def test_a_public_unet_makes_the_same_pixels_here(norm, dropout, levels):
    there, size = trained(Unet(2, levels, norm, dropout)), (128, 256)
    arch, weights = recognise(there.state_dict(), size, "rgb", "G.pth")
    assert isinstance(arch, UnetArch) and (arch.norm, arch.levels) == (norm, levels)
    here = build(arch).eval()
    here.load_state_dict(weights)
    x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(here(x), there(x), rtol=1e-5, atol=1e-5)


def test_a_public_unet_256_makes_the_same_pixels_here():
    """Eight levels: its deepest map of 256 px is one pixel."""
    there, size = trained(Unet(1, 8, "batch", dropout=True)), (256, 256)
    arch, weights = recognise(there.state_dict(), size, "rgb", "G.pth")
    assert isinstance(arch, UnetArch) and (arch.norm, arch.levels, arch.size) == ("batch", 8, size)
    here = build(arch).eval()
    here.load_state_dict(weights)
    x = torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1)) * 2 - 1
    with torch.inference_mode():
        torch.testing.assert_close(here(x), there(x), rtol=1e-5, atol=1e-5)
    with pytest.raises(UserError, match="multiples of 256"):
        recognise(there.state_dict(), (256, 384), "rgb", "G.pth")


def test_old_files_are_read_too():
    """Before torch 0.4.1 batch norms did not count, and instance norms stored statistics that nothing reads."""
    there = Resnet(4, 6, "batch").state_dict()
    old = {name: value for name, value in there.items() if not name.endswith("num_batches_tracked")}
    assert recognise(old, (32, 32), "rgb", "G.pth")[0].norm == "batch"
    there = Resnet(4, 6, "instance").state_dict()
    old = {**there, "model.2.running_mean": torch.zeros(4), "model.2.running_var": torch.ones(4)}
    assert recognise(old, (32, 32), "rgb", "G.pth")[0].norm == "instance"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("model.26.weight"), r"missing: model\.26\.weight"),
        (lambda state: state.update({"model.99.weight": torch.ones(1)}), r"left over: model\.99\.weight"),
        (
            lambda state: state.update({"model.4.weight": torch.ones(8, 5, 3, 3)}),
            r"model\.4\.weight \(8, 5, 3, 3\) of float32 instead",
        ),
        (lambda state: state.update({"model.1.weight": torch.ones(3)}), "expected the first convolution, found"),
        (lambda state: state.pop("model.1.weight"), "expected the first convolution, found nothing"),
        (lambda state: [state.pop(name) for name in list(state) if "conv_block" in name], "not a generator"),
    ],
    ids=["missing", "left over", "shape", "no convolution", "no stem", "no blocks"],
)
def test_what_is_not_exactly_one_is_refused_by_the_names_of_its_tensors(change, message):
    state = dict(Resnet(4, 9, "instance").state_dict())
    change(state)
    with pytest.raises(UserError, match=message) as error:
        recognise(state, (32, 32), "rgb", "teacher.source: G.pth")
    assert str(error.value).startswith("teacher.source: G.pth: ")
