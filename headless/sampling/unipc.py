"""UniPC: a predictor and a corrector of the same order from the same evaluations.

Zhao et al. 2023, https://arxiv.org/abs/2302.04867: UniPC-p with data prediction and B(h) = h, or
B(h) = e^h - 1 ("bh2"), order up to three, fewer at both ends. In variance-exploding form, with
lambda = -log(sigma) and alpha = 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

ORDER = 3
LAST_SIGMA = 0.001
"""ComfyUI's stand-in for 0, where lambda would be infinite."""


def uni_pc(
    denoise: Callable[[Tensor, Tensor], Tensor],
    x: Tensor,
    sigmas: Tensor,
    noise: object,
    on_step: Callable[[int, Tensor, Tensor], None],
    *,
    exponential: bool = False,
) -> Tensor:
    """One evaluation a step; the corrector uses the evaluation that the next step begins with."""
    levels = sigmas.clamp(min=LAST_SIGMA)
    logs = -levels.cpu().double().log()  # lambda
    last = len(levels) - 1
    highest = min(ORDER, max(last - 1, 1))
    known = [denoise(x, levels[0])]  # denoised latents, newest last
    on_step(0, known[-1], x)
    for i in range(1, last + 1):
        order = min(highest, i, last + 1 - i)
        past, times = known[-order:], logs[i - order : i + 1]
        predicted = _step(x, past, times, None, exponential)
        if i == last:
            return predicted
        known = [*known[-ORDER + 1 :], denoise(predicted, levels[i])]
        x = _step(x, past, times, known[-1], exponential)
        on_step(i, known[-1], x)
    return x


def _step(
    x: Tensor,
    past: Sequence[Tensor],
    logs: Tensor,
    ahead: Tensor | None,
    exponential: bool,
) -> Tensor:
    """Go from logs[-2] to logs[-1]: as predictor, or as corrector with the evaluation `ahead`.

    `past` are the denoised latents at logs[:-1]. Equation 9 of the paper for data prediction, in
    differences D_k = (D(lambda_k) - D(lambda_0)) / r_k.
    """
    current = past[-1]
    length = float(logs[-1] - logs[-2])
    ratios = [float(log - logs[-2]) / length for log in logs[:-2].flip(0)]
    differences = [(d - current) / r for d, r in zip(reversed(past[:-1]), ratios, strict=True)]
    if ahead is not None:
        ratios.append(1.0)
        differences.append(ahead - current)
    result = math.exp(-length) * x - math.expm1(-length) * current
    weights = _weights(ratios, length)
    if exponential and len(weights) == 1:
        # Of more differences B(h) is a factor of the weights, and one divided by.
        weights = [0.5 * -math.expm1(-length) / length]
    for weight, difference in zip(weights, differences, strict=True):
        result = result + (length * weight) * difference
    return result


def _weights(ratios: Sequence[float], length: float) -> list[float]:
    """Return the weights of the differences: those for which sum_k weight_k * ratio_k^(n-1) equals
    `_moments`' n-th value, so that polynomials in lambda are integrated exactly. A single
    difference takes one half, which keeps the order (section 3.3 of the paper).
    """
    count = len(ratios)
    if count <= 1:
        return [0.5] * count
    powers = torch.tensor(ratios, dtype=torch.float64) ** torch.arange(count)[:, None]
    moments = torch.tensor(_moments(count, length), dtype=torch.float64)
    weights: list[float] = torch.linalg.solve(powers, moments).tolist()
    return weights


def _moments(count: int, length: float) -> list[float]:
    """Return the right side of the paper's equation 5 with B(h) = h, for n = 1..count."""
    h = -length  # data prediction
    integral = math.expm1(h) / h - 1
    moments = []
    for n in range(1, count + 1):
        moments.append(integral * math.factorial(n) / h)
        integral = integral / h - 1 / math.factorial(n + 1)
    return moments
