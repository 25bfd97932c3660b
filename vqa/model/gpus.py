"""Kinds of GPU that a training may be meant for: memory and peak, as their makers' data sheets have them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """`memory_gib`: what a program gets, about. `tflops`: peak of dense bf16, without sparsity."""

    name: str
    memory_gib: float
    tflops: float


GPUS = (
    Gpu("L4", 22.0, 121),
    Gpu("RTX 4090", 23.5, 165),
    Gpu("A100 40 GB", 39.4, 312),
    Gpu("L40S", 44.4, 362),
    Gpu("A100 80 GB", 79.2, 312),
    Gpu("H100 80 GB", 79.2, 989),
    Gpu("H200", 139.8, 989),
    Gpu("B200", 178.4, 2250),
)
