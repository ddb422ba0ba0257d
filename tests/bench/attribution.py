"""Seconds for the maps of one 672 x 672 grid, 9 targets and 2 linear probes on ResNet-50, ours and the peers' in turn.

usage: python tests/bench/attribution.py [--programs DIR] [--rounds N] [--threads N] [--methods a,b] [--device cuda]
Needs torch, torchvision, captum, zennit and scikit-learn; for the B-cos line also bcos. Without --programs, where
tests/bench/gpu.sh puts them, it runs `cargo bench --workspace --bench resnet50`, which is the same program.

A peer is run as its user would write it: a loop over probes and targets, one call each. The loop repeats itself, so only
SOME of its 18 rounds are run and multiplied; ours makes all 18 maps. Both sides take STEPS points of integrated gradients
and SAMPLES perturbed pictures of LIME, which is fewer than one would, because time is proportional to them. Binding
rules to the network is not counted, for either side, nor is a first run on a GPU, which compiles kernels. On a machine that others use, compare CPU seconds with --threads 1:
with more, OpenMP's threads spin while they wait for one that has no CPU.
"""

import argparse
import pathlib
import statistics
import time
import warnings
from importlib.metadata import version

import torch
import torchvision
from captum.attr import GuidedBackprop, InputXGradient, IntegratedGradients, LayerGradCam
from sklearn.linear_model import Ridge
from zennit.attribution import Gradient
from zennit.composites import EpsilonGammaBox
from zennit.torchvision import ResNetCanonizer
from machine import processor
from ours import Program

SIDE, TARGETS, PROBES, CLASSES = 672, 9, 2, 1000
STEPS, SAMPLES = 2, 10
SEGMENTS = 100


class Probed(torch.nn.Module):
    def __init__(self, trunk, head):
        super().__init__()
        self.trunk, self.head = trunk, head

    def forward(self, x):
        return self.head(self.trunk(x)).mean((2, 3))


def conventional():
    trunk = torchvision.models.resnet50(weights=None)
    trunk = torch.nn.Sequential(*list(trunk.children())[:-2])
    for module in trunk.modules():
        if isinstance(module, torch.nn.ReLU):
            module.inplace = False
    return Probed(trunk, torch.nn.Conv2d(2048, CLASSES, 1)).eval().requires_grad_(False)


def bcos_network():
    from bcos.models.resnet import resnet50
    from bcos.modules import norms

    network = resnet50(norm_layer=norms.NoBias(norms.BatchNormUncentered2d)).eval().requires_grad_(False)
    # Norms that keep the size of signals, as trained ones do; without, maps are subnormal numbers, which cost what they cost.
    fan_in = 1
    for weight in network.parameters():
        if weight.dim() == 4:
            fan_in = weight[0].numel()
        else:
            weight.fill_(fan_in**0.5)
    return network


class Peers:
    """One map of each kind."""

    def __init__(self, device):
        self.device = device
        self.model = conventional().to(device)
        self.image = torch.rand(1, 3, SIDE, SIDE, device=device)
        low, high = torch.zeros_like(self.image), torch.ones_like(self.image)
        self.composite = EpsilonGammaBox(low=low, high=high, canonizers=[ResNetCanonizer()])
        self.bcos = None

    def forward(self, _):
        with torch.inference_mode():
            self.model.trunk(self.image)

    def input_x_gradient(self, target):
        InputXGradient(self.model).attribute(self.image.clone().requires_grad_(), target=target)

    def guided_backprop(self, target):
        GuidedBackprop(self.model).attribute(self.image.clone().requires_grad_(), target=target)

    def integrated_gradients(self, target):
        attributor = IntegratedGradients(self.model)
        attributor.attribute(self.image.clone(), target=target, n_steps=STEPS, internal_batch_size=2)

    def grad_cam(self, target):
        layer = self.model.trunk[7]
        coarse = LayerGradCam(self.model, layer).attribute(self.image.clone().requires_grad_(), target=target)
        torch.nn.functional.interpolate(coarse, (SIDE, SIDE), mode="bilinear")

    def lrp(self, target):
        with Gradient(model=self.model, composite=self.composite) as attributor:
            attributor(self.image.clone(), torch.eye(CLASSES, device=self.device)[[target]])

    def lime(self, target):
        side = int(SEGMENTS**0.5)
        cells = torch.arange(SIDE, device=self.device) * side // SIDE
        labels = cells[:, None] * side + cells[None]
        means = self.image.mean((2, 3), keepdim=True).expand_as(self.image)
        kept = (torch.rand(SAMPLES, SEGMENTS, device=self.device) < 0.5).float()
        logits = []
        with torch.inference_mode():
            for masks in kept.split(10):
                masks = masks[:, labels][:, None]
                logits.append(self.model(means + masks * (self.image - means))[:, target])
        Ridge(alpha=1).fit(kept.cpu().numpy(), torch.cat(logits).cpu().numpy())

    def bcos_map(self, target):
        if self.bcos is None:
            self.bcos = bcos_network().to(self.device)
            self.six = torch.cat([self.image, 1 - self.image], 1)
        with self.bcos.explanation_mode():
            x = self.six.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(self.bcos(x)[0, target], x)
            (x * gradient).sum(1)


# Ours, the peer, how many of its maps are run, how many there are, the count that both sides take.
LINES = {
    "forward": ("torch", Peers.forward, 1, 1, None),
    "input_x_gradient": ("captum", Peers.input_x_gradient, 1, TARGETS * PROBES, None),
    "guided_backprop": ("captum", Peers.guided_backprop, 1, TARGETS * PROBES, None),
    "grad_cam": ("captum", Peers.grad_cam, 2, TARGETS * PROBES, None),
    "integrated_gradients": ("captum", Peers.integrated_gradients, 1, TARGETS * PROBES, STEPS),
    "lrp": ("zennit", Peers.lrp, 1, TARGETS * PROBES, None),
    "lime": ("torch, sklearn", Peers.lime, 1, TARGETS * PROBES, SAMPLES),
    "bcos": ("bcos", Peers.bcos_map, 1, TARGETS * PROBES, None),
}


def seconds(work, device):
    """Wall and CPU seconds until `work` is done, on a GPU too."""
    since, spent = time.perf_counter(), time.process_time()
    work()
    if device != "cpu":
        torch.cuda.synchronize(device)
    return time.perf_counter() - since, time.process_time() - spent


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--programs", type=pathlib.Path, help="where gpu.sh put the built benchmark")
    arguments.add_argument("--device", default="cpu")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--threads", type=int, default=2)
    arguments.add_argument("--methods", default=",".join(LINES))
    arguments = arguments.parse_args()
    warnings.filterwarnings("ignore")
    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)
    program = arguments.programs and arguments.programs / "resnet50"
    ours, peers = Program("resnet50", program, arguments.threads, arguments.device), Peers(arguments.device)
    names = arguments.methods.split(",")
    taken = {name: [] for name in names}
    for _ in range(arguments.rounds):
        for name in names:
            peer, run, some, all_maps, count = LINES[name]
            question = f"{name} {count or ''}"
            if arguments.device != "cpu" and not taken[name]:
                ours.numbers(question)
                seconds(lambda: run(peers, 0), arguments.device)
            mine = ours.numbers(question)
            theirs = seconds(lambda: [run(peers, target) for target in range(some)], arguments.device)
            theirs = tuple(figure * all_maps / some for figure in theirs)
            taken[name].append((mine, theirs))
            print(f"# {name}: wall and CPU seconds {mine} ours, {theirs} {peer}", flush=True)
    print(f"date: {time.strftime('%Y-%m-%d')}")
    print(f"processor: {processor()}; threads: {arguments.threads} each side; medians of {arguments.rounds}")
    print("versions:", ", ".join(f"{name} {version(name)}" for name in ("torch", "torchvision", "captum", "zennit")))
    print("| method | peer | ours, s | peer, s | ratio | ours, CPU s | peer, CPU s | ratio of CPU |")
    print("|---|---|---|---|---|---|---|---|")
    for name, pairs in taken.items():
        cells = []
        for kind in (0, 1):
            mine, theirs = ([pair[side][kind] for pair in pairs] for side in (0, 1))
            ratio = statistics.median(their / my for my, their in zip(mine, theirs))
            cells += [f"{statistics.median(mine):.1f}", f"{statistics.median(theirs):.1f}", f"{ratio:.2f}"]
        print("|", " | ".join([name, LINES[name][0], *cells]), "|")


if __name__ == "__main__":
    main()
