"""Augmentation of batches: flip, translate, affine, color jitter, photographs, soft targets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F

from lookbook.errors import InputError
from lookbook.recipes import NO_GARMENTS
from lookbook.training.simulation.photographs import NONE, simulate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jaxtyping import Bool, Float, Int64, Shaped
    from torch import Tensor

    from lookbook.data.catalog import Garments
    from lookbook.recipes import Recipe
    from lookbook.training.steps.sampler import Sampler


def horizontal_flip(
    images: Shaped[Tensor, "N C H W"], mirrored: Bool[Tensor, "N"]
) -> Shaped[Tensor, "N C H W"]:
    """Mirror those images that are `mirrored`, left for right.

    >>> import torch
    >>> images = torch.tensor([[[[1, 2]]], [[[3, 4]]]])
    >>> horizontal_flip(images, torch.tensor([True, False])).flatten().tolist()
    [2, 1, 3, 4]
    """
    return images.flip(3).where(mirrored[:, None, None, None], images)


def translate(
    images: Shaped[Tensor, "N C H W"], uniforms: Float[Tensor, "N 2"], most: int
) -> Shaped[Tensor, "N C H W"]:
    """Move each image down and right by up to `most` pixels; what comes in is 0.

    Uniform numbers of 0 to 1 say by how many: -most to most, each as likely.

    >>> import torch
    >>> images = torch.tensor([[[[1, 2], [3, 4]]], [[[1, 2], [3, 4]]]])
    >>> translate(images, torch.tensor([[0.5, 0.9], [0.1, 0.5]]), most=1).tolist()
    [[[[0, 1], [0, 3]]], [[[3, 4], [0, 0]]]]
    """
    height, width = images.shape[2:]
    # every way to cut an image's size out of a wider one, as a view: N C most*2+1 most*2+1 H W
    cuts = F.pad(images, (most,) * 4).unfold(2, height, 1).unfold(3, width, 1)
    down, right = (2 * most - (uniforms * (2 * most + 1)).long()).unbind(1)
    return cuts.permute(0, 2, 3, 1, 4, 5)[torch.arange(len(images)), down, right]


def affine(
    images: Shaped[Tensor, "N C H W"], uniforms: Float[Tensor, "N 5"], strength: float
) -> Float[Tensor, "N C H W"]:
    """Move, zoom, turn and stretch each image; what comes in mirrors what is at its border.

    Uniform numbers of 0 to 1 say which way and how much, 0.5 not at all. At most, an image moves by
    `strength` / 5 of its sides, grows or shrinks by the factor exp(`strength`), turns by
    0.8 × `strength` radians, and its sides change their ratio by exp(0.8 × `strength`).

    >>> import torch
    >>> images = torch.arange(18).view(2, 1, 3, 3)
    >>> nothing = torch.full((2, 5), 0.5)
    >>> bool((affine(images, nothing, 0.25) - images).abs().max() < 1e-5)
    True
    """
    down, right, size, angle, ratio = (strength * (2 * uniforms - 1)).unbind(1)
    zoom, turn, stretch = torch.exp(size), 0.8 * angle, torch.exp(0.4 * ratio)
    cos, sin = zoom * torch.cos(turn), zoom * torch.sin(turn)
    # the image's own proportions: without them a turn would shear what is not square
    wide = images.shape[3] / images.shape[2]
    across = [cos * stretch, -sin / wide, 0.4 * right]
    along = [sin * wide, cos / stretch, 0.4 * down]
    places = torch.stack(across + along, dim=1).view(-1, 2, 3)
    grid = F.affine_grid(places, list(images.shape), align_corners=False)
    return F.grid_sample(images.float(), grid, padding_mode="reflection", align_corners=False)


def random_crop(
    images: Shaped[Tensor, "N C H W"], uniforms: Float[Tensor, "N 5"], least: float
) -> Float[Tensor, "N C H2 W2"]:
    """Cut a part of `least` to all of each image's sides out of it, in two thirds of the pixels.

    Uniform numbers of 0 to 1 say where from, how much, how far it is turned (0.15 radians at most)
    and stretched (its sides change their ratio by exp(0.2) at most).
    Source: Szegedy et al. (2015), "Going deeper with convolutions"; fewer pixels than are answered:
    Touvron et al. (2019), "Fixing the train-test resolution discrepancy".

    >>> images = torch.ones(2, 3, 24, 48)
    >>> random_crop(images, torch.rand(2, 5), 0.6).shape
    torch.Size([2, 3, 16, 32])
    """
    down, right, _, turn, ratio = (2 * uniforms - 1).unbind(1)
    share = least + (1 - least) * uniforms[:, 2]
    room, angle, stretch = 1 - share, 0.15 * turn, torch.exp(0.1 * ratio)
    cos, sin = share * torch.cos(angle), share * torch.sin(angle)
    wide = images.shape[3] / images.shape[2]
    across = [cos * stretch, -sin / wide, room * right]
    along = [sin * wide, cos / stretch, room * down]
    places = torch.stack(across + along, dim=1).view(-1, 2, 3)
    height, width = (_shown(int(side)) for side in images.shape[2:])
    grid = F.affine_grid(places, [*images.shape[:2], height, width], align_corners=False)
    return F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)


def _shown(side: int) -> int:
    """Return about two thirds of a side; of larger ones what stays odd where it is halved.

    Its borders are then alike on both sides, and a step makes no copies to add them.

    >>> [_shown(side) for side in (24, 96, 192, 224)]
    [16, 65, 129, 145]
    """
    shown = 2 * side // 3
    return shown if side < 96 else 16 * round((shown - 1) / 16) + 1


def color_jitter(
    images: Shaped[Tensor, "N C H W"], uniforms: Float[Tensor, "N 5"], strength: float
) -> Float[Tensor, "N C H W"]:
    """Change contrast and brightness of each image, and how strong each of its colours is.

    Uniform numbers of 0 to 1 say which way and how much, 0.5 not at all. At most, contrasts change
    by the factor exp(1.2 × `strength`), brightness by 0.6 × `strength` of the whole range, colours
    by the factor exp(0.4 × `strength`). Values stay in 0..255.

    >>> import torch
    >>> image = torch.tensor([[[[0, 100], [100, 200]]]])
    >>> brighter = torch.tensor([[0.5, 1.0, 0.5, 0.5, 0.5]])
    >>> color_jitter(image, brighter, 0.4).int().flatten().tolist()
    [61, 161, 161, 255]
    """
    contrast, brightness, *colours = (strength * (2 * uniforms - 1)).unbind(1)
    pixels = images.float()
    mean = pixels.mean((1, 2, 3), keepdim=True)
    gains = torch.exp(0.4 * torch.stack(colours[: images.shape[1]], dim=1))[:, :, None, None]
    stronger = torch.exp(1.2 * contrast)[:, None, None, None]
    lighter = 255 * 0.6 * brightness[:, None, None, None]
    return ((mean + (pixels - mean) * stronger + lighter) * gains).clamp(0, 255)


def augment(
    batch: Shaped[Tensor, "N C H W"],
    recipe: Recipe,
    sampler: Sampler,
    chosen: Int64[Tensor, "M"],
    own: Int64[Tensor, "N"],
) -> Shaped[Tensor, "N C H W"]:
    """Show those images that are this process's `own` otherwise than in the epoch before."""
    uniforms = sampler.uniforms(chosen)[own].to(batch.device)
    if recipe.mirror:
        batch = horizontal_flip(batch, sampler.are_mirrored(chosen)[own].to(batch.device))
    if recipe.shift:
        batch = translate(batch, uniforms[:, :2], recipe.shift)
    if recipe.crop:
        batch = random_crop(batch, uniforms[:, 2:7], recipe.crop)
    elif recipe.distort:
        batch = affine(batch, uniforms[:, 2:7], recipe.distort)
    if recipe.distort:
        batch = color_jitter(batch, uniforms[:, 7:], recipe.distort)
    return batch


def as_photographs(
    batch: Shaped[Tensor, "N 1 H W"],
    labels: Int64[Tensor, "N"],
    share: float,
    garments: Garments | None,
    draws: Sequence[tuple[slice, torch.Generator]],
) -> tuple[Float[Tensor, "N 1 H W"], Int64[Tensor, "N"]]:
    """Show a share of each step's images as photographs might show them; labels as `simulate`.

    Raises
    ------
    InputError
        Nothing is known of garments that the images show.
    """
    if garments is None:
        raise InputError(NO_GARMENTS)
    images, seen = batch.float().cpu(), labels.cpu().clone()
    for part, generator in draws:
        n = part.stop - part.start
        chosen = torch.rand(n, generator=generator).argsort()[: round(share * n)] + part.start
        images[chosen], seen[chosen] = simulate(images[chosen], seen[chosen], garments, generator)
    return images.to(batch.device), seen.to(batch.device)


def soften(
    answers: Int64[Tensor, "N"], n_classes: int, recipe: Recipe
) -> Int64[Tensor, "N"] | Float[Tensor, "N K"]:
    """Return targets: classes, or where smoothing is asked for, their probabilities.

    PyTorch's own smoothing costs a quarter of a step of the dense network. What shows none of the
    classes is to get the same probability for each.
    Source: Hendrycks et al. (2019), "Deep anomaly detection with outlier exposure".
    """
    smoothing = recipe.label_smoothing
    if smoothing == 0 and not recipe.photographs:
        return answers
    shape = len(answers), n_classes
    softened = torch.full(shape, smoothing / n_classes, device=answers.device)
    right = 1 - smoothing + smoothing / n_classes
    softened.scatter_(1, answers[:, None].clamp_min(0), right)
    if recipe.photographs:
        softened[answers == NONE] = 1 / n_classes
    return softened
