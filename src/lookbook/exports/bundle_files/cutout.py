"""Cut out what lies in the middle of a photograph, and light it as the pictures of training are."""

import numpy as np
from PIL import Image
from segmentation import LONGEST, segment


def cut_out(photograph, size):
    """Return a photograph as the model takes it, and what was done to it."""
    longest = 2 * LONGEST
    copy = photograph if photograph.mode in ("L", "RGB") else photograph.convert("RGB")
    copy = copy.reduce(max(1, max(copy.size) // (2 * longest))).convert("RGB")
    scale = longest / max(copy.size)
    w, h = (max(1, round(side * scale)) for side in copy.size)
    copy = copy.resize((w, h), Image.Resampling.BILINEAR)
    mask = segment(np.asarray(copy.reduce(2))).repeat(2, 0).repeat(2, 1)[:h, :w]
    note = "nothing stands out" if mask.all() else "cut out"
    return as_catalogue(255.0 - np.asarray(copy.convert("L")), mask, size), note


def as_catalogue(grey, mask, size):  # light on black, in one range, as large as fits in the middle
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    part = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    grey, mask = grey[part], mask[part].astype(float)
    scale = min(size[0] / mask.shape[0], size[1] / mask.shape[1])
    down, across = (max(1, round(side * scale)) for side in mask.shape)
    cover = averages(mask.shape[0], down) @ mask @ averages(mask.shape[1], across).T
    rows, columns = triangles(mask.shape[0], down), triangles(mask.shape[1], across).T
    levels = (rows @ (grey * mask) @ columns) / np.maximum(rows @ mask @ columns, 1e-3)
    inside = np.sort(levels[cover >= min(0.5, cover.max())])
    low, high = (inside[int(share * (len(inside) - 1))] for share in (0.05, 0.95))
    lit = np.clip(70 + (levels - low) * (155 / max(high - low, 40)), 20, 255) * cover
    top, left = (size[0] - down) // 2, (size[1] - across) // 2
    image = np.zeros(size, np.uint8)
    image[top : top + down, left : left + across] = np.floor(lit + 0.5)
    return image


def averages(before, after):  # the part of each pixel that each new one covers
    edges, pixels = np.arange(after + 1)[:, None] * before / after, np.arange(before)
    covered = np.minimum(edges[1:], pixels + 1) - np.maximum(edges[:-1], pixels)
    return np.maximum(covered, 0) * after / before


def triangles(before, after):  # shares that fall to 1.5 new pixels beside the middle of each
    step = before / after
    middles = (np.arange(after)[:, None] + 0.5) * step
    shares = np.maximum(1 - np.abs(np.arange(before) + 0.5 - middles) / (1.5 * max(step, 1)), 0)
    return shares / shares.sum(axis=1, keepdims=True)
