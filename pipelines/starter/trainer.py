"""One training loop for every network: seeded, resumable after a kill, quiet about nothing.

The batch of a step depends on the seed and the step alone, so a training that was killed goes on as if nothing had
happened. What is kept at the end is the exponential moving average of the weights.
"""

import logging
import math
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from engine.errors import UserError
from pipelines.starter.scenes import Example

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

_SAVE_SECONDS: Final = 120.0
_SAY_STEPS: Final = 100
_CLIP_NORM: Final = 5.0


@dataclass(frozen=True, slots=True)
class Course:
    """How long and how fast: `rate` is the peak of a cosine after a linear warm-up of `warmup` steps."""

    steps: int
    batch: int
    rate: float
    decay: float = 0.02
    warmup: int = 200
    average: float = 0.998


class Network(Protocol):
    """One specialist in training."""

    @property
    def name(self) -> str: ...

    @property
    def course(self) -> Course: ...

    def build(self) -> "torch.nn.Module":
        """The untrained network; torch is seeded before."""

    def batch(self, examples: list[Example], rng: np.random.Generator) -> dict[str, Any]:
        """Arrays and tensors of one step, on the CPU; may run in another thread."""

    def loss(self, module: "torch.nn.Module", batch: dict[str, Any]) -> "torch.Tensor":
        """A scalar to minimise; matrix products may run in bfloat16."""

    def validate(self, module: "torch.nn.Module", examples: list[Example]) -> dict[str, float]:
        """Scores on scenes that were not trained on."""

    def save(self, module: "torch.nn.Module", folder: Path) -> None:
        """Write the checkpoint in the library's own format."""


def train(network: Network, examples: list[Example], work: Path, seed: int, device: str) -> "torch.nn.Module":
    """Train `network` from scratch or from where an earlier call stopped; the averaged module, in eval mode.

    Raises:
        UserError: the state in `work` is of another network or course.
    """
    import torch

    torch.manual_seed(seed)
    course = network.course
    module = network.build().to(device)
    average = _Average(module, course.average)
    optimiser = torch.optim.AdamW(_groups(module, course.decay), lr=course.rate, betas=(0.9, 0.98))
    path = work / f"{network.name}.state"
    first = _restore(path, course, module, average, optimiser) if path.exists() else 0
    module.train()
    saved, started, seen = time.monotonic(), time.monotonic(), []
    for step, batch in _batches(network, examples, seed, first):
        for group in optimiser.param_groups:
            group["lr"] = course.rate * _rate(step, course)
        loss = network.loss(module, _to(batch, device))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), _CLIP_NORM)
        optimiser.step()
        average.update(module)
        seen.append(float(loss.detach()))
        if (step + 1) % _SAY_STEPS == 0:
            speed = (step + 1 - first) * course.batch / (time.monotonic() - started)
            log.info("%s: step %d of %d, loss %.4f, %.0f examples/s",
                     network.name, step + 1, course.steps, np.mean(seen), speed)  # fmt: skip
            seen.clear()
        if time.monotonic() - saved > _SAVE_SECONDS or step + 1 == course.steps:
            _keep(path, course, step + 1, module, average, optimiser)
            saved = time.monotonic()
    return average.into(module).eval()


class _Average:
    """The exponential moving average of parameters; buffers are taken as they are."""

    def __init__(self, module: "torch.nn.Module", decay: float) -> None:
        self.decay, self.updates = decay, 0
        self.values = {name: p.detach().clone() for name, p in module.named_parameters()}

    def update(self, module: "torch.nn.Module") -> None:
        import torch

        self.updates += 1
        keep = min(self.decay, self.updates / (self.updates + 10))  # early averages forget the start quickly
        with torch.no_grad():
            ours, theirs = list(self.values.values()), [p.detach() for p in module.parameters()]
            torch._foreach_lerp_(ours, theirs, 1 - keep)

    def into(self, module: "torch.nn.Module") -> "torch.nn.Module":
        module.load_state_dict(module.state_dict() | self.values)
        return module


def _groups(module: "torch.nn.Module", decay: float) -> list[dict[str, Any]]:
    """Weight decay for matrices and kernels, none for biases and norms."""
    large = [p for p in module.parameters() if p.ndim > 1 and p.requires_grad]
    small = [p for p in module.parameters() if p.ndim <= 1 and p.requires_grad]
    return [{"params": large, "weight_decay": decay}, {"params": small, "weight_decay": 0.0}]


def _rate(step: int, course: Course) -> float:
    if step < course.warmup:
        return (step + 1) / course.warmup
    return 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (step - course.warmup) / (course.steps - course.warmup)))


def _batches(network: Network, examples: list[Example], seed: int, first: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """The batches from step `first` on; the next one is made while this one trains."""

    def make(step: int) -> dict[str, Any]:
        rng = np.random.default_rng([seed, step])
        chosen = rng.integers(len(examples), size=network.course.batch)
        return network.batch([examples[i] for i in chosen], rng)

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(make, first)
        for step in range(first, network.course.steps):
            batch = coming.result()
            if step + 1 < network.course.steps:
                coming = pool.submit(make, step + 1)
            yield step, batch


def _to(value: Any, device: str) -> Any:
    if isinstance(value, dict):
        return {key: _to(item, device) for key, item in value.items()}
    return value.to(device) if hasattr(value, "to") else value


def _keep(
    path: Path,
    course: Course,
    step: int,
    module: "torch.nn.Module",
    average: _Average,
    optimiser: "torch.optim.Optimizer",
) -> None:
    import torch

    part = path.with_suffix(".part")
    state = {"course": repr(course), "step": step, "module": module.state_dict(), "average": average.values,
             "updates": average.updates, "optimiser": optimiser.state_dict()}  # fmt: skip
    torch.save(state, part)
    os.replace(part, path)


def _restore(
    path: Path, course: Course, module: "torch.nn.Module", average: _Average, optimiser: "torch.optim.Optimizer"
) -> int:
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True)
    if state["course"] != repr(course):
        raise UserError(f"{path} was made by another course ({state['course']}); remove it to train anew.")
    module.load_state_dict(state["module"])
    optimiser.load_state_dict(state["optimiser"])
    for name, value in state["average"].items():
        average.values[name].copy_(value)
    average.updates = int(state["updates"])
    return int(state["step"])


@contextmanager
def quickly(device: str) -> Iterator[None]:
    """bfloat16 for matrix products, and plain attention on a CPU, whose fused kernel is slow backwards."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    kind = device.partition(":")[0]
    with ExitStack() as stack:
        stack.enter_context(torch.autocast(kind, torch.bfloat16))
        if kind == "cpu":
            stack.enter_context(sdpa_kernel(SDPBackend.MATH))
        yield
