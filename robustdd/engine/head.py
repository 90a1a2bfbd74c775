"""The classifier and the soft cross-entropy by hand: gradients, with and without a tangent along."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class HeadTangents(NamedTuple):
    """What moves with the tangent."""

    slope: Tensor
    """Tangent of the loss."""
    label_logits: Tensor
    """Gradient of the slope in the label logits [n, C]."""
    weight: Tensor
    bias: Tensor
    """Tangents of the gradients in weight [C, F] and bias [C]."""
    features: Tensor
    """Dual of the gradient in the features [2n, F]."""


def gradients(features: Tensor, label_logits: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of the mean soft cross-entropy in features [n, F], weight [C, F] and bias [C]."""
    logits = torch.addmm(bias, features, weight.t())
    error = (logits.softmax(1) - label_logits.softmax(1)).div_(len(features))
    return error @ weight, error.t() @ features, error.sum(0)


def tangents(features: Tensor, label_logits: Tensor, weight: Tensor, bias: Tensor) -> HeadTangents:
    """The same with a tangent along: features [2n, F], weight [2, C, F] and bias [2, 1, 1, C] are duals.

    The slope's gradient in the label logits is that of -<softmax, tangent of the logits> / n.
    """
    count = len(features) // 2
    value, tangent = features.view(2, count, -1).unbind()
    matrix, matrix_tangent = weight.unbind()
    offset, offset_tangent = bias.flatten(1).unbind()
    logits = torch.addmm(offset, value, matrix.t())
    logits_tangent = torch.addmm(offset_tangent, tangent, matrix.t()).addmm_(value, matrix_tangent.t())
    probability, label = logits.softmax(1), label_logits.softmax(1)
    error = (probability - label).div_(count)
    error_tangent = _along_softmax(probability, logits_tangent).div_(count)
    above = torch.cat((error @ matrix, torch.mm(error_tangent, matrix).addmm_(error, matrix_tangent)))
    return HeadTangents(
        (error * logits_tangent).sum(),
        _along_softmax(label, logits_tangent).div_(-count),
        torch.mm(error_tangent.t(), value).addmm_(error.t(), tangent),
        error_tangent.sum(0),
        above,
    )


def _along_softmax(probability: Tensor, tangent: Tensor) -> Tensor:
    """Derivative of a softmax, along a tangent of its logits [n, C]; the softmax's matrix is symmetric."""
    return probability * (tangent - (probability * tangent).sum(1, keepdim=True))
