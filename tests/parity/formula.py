"""Numbers that Python and Rust both compute, so that parity tests store no weights.

Twin of formula.rs. A value depends on the tensor's name and the element's flat index only:
    u(name, i) = (splitmix64(fnv1a64(name) + i) >> 40) / 2**24 * 2 - 1        in [-1, 1)
24 bits fit a float32 exactly, so both sides start from equal bits.
"""

import json
import math
import pathlib

import numpy as np

MASK = (1 << 64) - 1


def fnv1a64(name: str) -> int:
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = ((state ^ byte) * 0x100000001B3) & MASK
    return state


def splitmix64(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        z = x + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def unit(name: str, shape) -> np.ndarray:
    """Values in [-1, 1) as float64 (each is exact in float32)."""
    count = math.prod(shape)
    with np.errstate(over="ignore"):
        index = np.uint64(fnv1a64(name)) + np.arange(count, dtype=np.uint64)
    return ((splitmix64(index) >> np.uint64(40)).astype(np.float64) / 2**24 * 2 - 1).reshape(shape)


def tensor(name: str, shape) -> np.ndarray:
    """A float32 checkpoint tensor; the kind is told from the key's last word and the rank."""
    u = unit(name, shape)
    kind = name.rsplit(".", 1)[-1]
    if kind == "running_var":
        value = 1 + 0.5 * np.abs(u)
    elif kind in ("running_mean", "bias"):
        value = 0.1 * u
    elif len(shape) == 1:
        value = 1 + 0.1 * u
    else:
        value = u * math.sqrt(3 / math.prod(shape[1:]))
    return value.astype(np.float32)


def image(shape) -> np.ndarray:
    """Pixels in [0, 1)."""
    return (0.5 + 0.5 * unit("image", shape)).astype(np.float32)


def fill(model) -> list:
    """Loads the formula into a torch module; returns [[key, shape], ...] for the Rust side."""
    import torch

    listed = []
    state = model.state_dict()
    for key, value in state.items():
        if key.endswith("num_batches_tracked"):
            continue
        shape = list(value.shape)
        state[key] = torch.from_numpy(tensor(key, shape))
        listed.append([key, shape])
    model.load_state_dict(state)
    model.eval().requires_grad_(False)
    return listed


def numbers(value) -> list:
    """Nine significant digits: what a float32 needs."""
    return [float(f"{float(x):.9g}") for x in np.asarray(value).reshape(-1)]


def rounded_map(value) -> dict:
    """A map as its largest magnitude and integers in millionths of it: one line, no precision that matters lost."""
    value = np.asarray(value, dtype=np.float64)
    largest = float(np.abs(value).max())
    return {"largest": largest, "millionths": [int(round(x)) for x in (value / largest * 1e6).reshape(-1)]}


def versions(*names: str) -> dict:
    from importlib.metadata import version

    found = {name: version(name) for name in names}
    print("made with", found)
    return found


def write(script: str, content: dict) -> None:
    path = pathlib.Path(script).with_name("expected.json")
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n")
    size = path.stat().st_size
    assert size < 200_000, f"{path} has {size} bytes; store fewer numbers"
    print(path, size, "bytes")
