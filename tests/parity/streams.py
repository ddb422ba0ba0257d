"""The random streams of `features::random` again, so that Python starts from the same weights and batch order.

ChaCha8 keyed by the BLAKE3 hash of seed and keys, each key with its length in front.
"""

import struct

import numpy as np
from blake3 import blake3

MASK = 0xFFFFFFFF


def block(key: tuple, counter: int) -> list:
    state = [0x61707865, 0x3320646E, 0x79622D32, 0x6B206574, *key, counter & MASK, counter >> 32, 0, 0]
    x = list(state)

    def turn(i, bits):
        x[i] = ((x[i] << bits) | (x[i] >> (32 - bits))) & MASK

    def quarter(a, b, c, d):
        for to, add, mix, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[to] = (x[to] + x[add]) & MASK
            x[mix] ^= x[to]
            turn(mix, bits)

    for _ in range(4):
        for i in range(4):
            quarter(i, 4 + i, 8 + i, 12 + i)
        for i in range(4):
            quarter(i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return [(a + b) & MASK for a, b in zip(x, state)]


class Stream:
    def __init__(self, seed: int, keys):
        content = struct.pack("<Q", seed)
        for key in keys:
            content += struct.pack("<Q", len(key.encode())) + key.encode()
        self.key = struct.unpack("<8I", blake3(content).digest())
        self.counter, self.words = 0, []

    def u64(self) -> int:
        if not self.words:
            self.words = block(self.key, self.counter)
            self.counter += 1
        low, high = self.words.pop(0), self.words.pop(0)
        return low | (high << 32)

    def uniform(self) -> float:
        return (self.u64() >> 11) * 2.0**-53

    def below(self, n: int) -> int:
        return (self.u64() * n) >> 64


def initial(seed: int, head: str, name: str, shape) -> np.ndarray:
    """The probe stage's initial weights: uniform in +-1/sqrt(fan_in), rounded to float32. A bias has its layer's fan."""
    *shape, fan_in = shape
    stream = Stream(seed, ["probe", "weights", head, name])
    bound = 1.0 / np.sqrt(fan_in)
    values = [(2.0 * stream.uniform() - 1.0) * bound for _ in range(int(np.prod(shape)))]
    return np.array(values, dtype=np.float32).reshape(shape)


def order(seed: int, epoch: int, n: int) -> list:
    """The order in which the probe stage visits its training tiles."""
    stream = Stream(seed, ["probe", "order", str(epoch)])
    items = list(range(n))
    for last in range(n - 1, 0, -1):
        other = stream.below(last + 1)
        items[last], items[other] = items[other], items[last]
    return items
