"""Convolution by Fourier transform: the same result as a direct one to rounding, faster on a CPU for large kernels."""

from functools import cache

import torch

IMAGES_AT_ONCE = 128  # images transformed at once: more do not fit a processor's cache


def conv2d(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """As ``nn.functional.conv2d`` with stride 1 and no padding, for square images and kernels.

    Args:
        x: images [N, C, S, S].
        weight: filters [F, C, k, k].

    Returns:
        [N, F, S - k + 1, S - k + 1], contiguous.
    """
    return _Convolution.apply(x, weight)


class _Kept(torch.autograd.function.FunctionCtx):
    """What the forward pass saves for the backward pass, as torch passes it on."""

    saved_tensors: tuple[torch.Tensor, ...]
    kernel: int
    channels_last: bool


class _Convolution(torch.autograd.Function):
    """Multiply spectra instead of summing over the kernel; of the S x S results, those that wrap around are dropped.

    Filters and images are real, so each transform takes two images, as the real and the imaginary part of its input, and
    returns both results in the same form. A chunk of n images is [h, C, S, S] complex, h = n / 2 rounded up.
    """

    @staticmethod
    def forward(ctx: _Kept, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        side, (f, c, k, _) = x.shape[-1], weight.shape
        waves = _waves(side, k, x.dtype)
        filters = waves @ weight.permute(2, 3, 1, 0).reshape(k * k, c * f).to(waves.dtype)  # conjugate spectra
        filters = filters.view(side * side, c, f)
        spectra, results = [], []
        for chunk in x.contiguous().split(IMAGES_AT_ONCE):
            spectra.append(_by_frequency(torch.fft.fft2(_pair(chunk, side))))
            y = torch.fft.ifft2(_by_image(torch.bmm(spectra[-1], filters), side))
            results += _unpair(y[..., : side - k + 1, : side - k + 1], len(chunk))
        ctx.save_for_backward(filters, *spectra)
        ctx.kernel, ctx.channels_last = k, x.is_contiguous(memory_format=torch.channels_last)
        return torch.cat(results)

    @staticmethod
    def backward(ctx: _Kept, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        filters, *spectra = ctx.saved_tensors
        k, side = ctx.kernel, gradient.shape[-1] + ctx.kernel - 1
        of_images, of_filters = [], torch.zeros_like(filters)
        for chunk, spectrum in zip(gradient.contiguous().split(IMAGES_AT_ONCE), spectra, strict=True):
            # the inverse transform gives the conjugate spectra of the pairs that _pair(..., swap=True) makes, times i
            g = _by_frequency(torch.fft.ifft2(_pair(chunk, side, swap=True), norm="forward"))
            pairs = torch.fft.fft2(_by_image(torch.bmm(g, filters.mT), side), norm="forward")
            of_images += _unpair(pairs, len(chunk), swap=True)
            of_filters += torch.bmm(spectrum.mT, g)
        waves = _waves(side, k, gradient.dtype)
        lags = (waves.mT @ of_filters.flatten(1)).imag / side**2  # [k * k, C * F]
        images = torch.cat(of_images)
        if ctx.channels_last:  # the layout in which the layer before reads its gradient
            images = images.contiguous(memory_format=torch.channels_last)
        return images, lags.view(k, k, *filters.shape[1:]).permute(3, 2, 0, 1).contiguous()


@cache
def _waves(side: int, kernel: int, dtype: torch.dtype) -> torch.Tensor:
    """exp(2 pi i f d / S) for every frequency and every offset within a kernel, both two-dimensional: [S * S, k * k]."""
    turns = torch.arange(side, dtype=torch.float64)[:, None] * torch.arange(kernel) / side
    waves = torch.exp(2j * torch.pi * turns)
    return torch.kron(waves, waves).to(torch.complex64 if dtype == torch.float32 else torch.complex128)


def _pair(x: torch.Tensor, side: int, swap: bool = False) -> torch.Tensor:
    """Pack n images [n, C, s, s] into [h, C, side, side]: one half as real, the other as imaginary parts, or ``swap``ped.

    Filled with zeros up to ``side``, and if n is odd with an image of zeros.
    """
    n, c, s, _ = x.shape
    half = (n + 1) // 2
    if s == side and n % 2 == 0 and not swap:
        return torch.complex(x[:half], x[half:])
    pairs = x.new_zeros(half, c, side, side, 2)
    pairs[..., :s, :s, int(swap)] = x[:half]
    pairs[: n - half, ..., :s, :s, int(not swap)] = x[half:]
    return torch.view_as_complex(pairs)


def _unpair(pairs: torch.Tensor, count: int, swap: bool = False) -> list[torch.Tensor]:
    """The inverse of ``_pair``: the first half of the images, and the rest."""
    first, second = (pairs.imag, pairs.real) if swap else (pairs.real, pairs.imag)
    return [first, second[: count - len(first)]]


def _by_frequency(spectra: torch.Tensor) -> torch.Tensor:
    """[h, C, S, S] to [S * S, h, C]."""
    half, c = spectra.shape[:2]
    return spectra.view(half * c, -1).t().contiguous().view(-1, half, c)


def _by_image(spectra: torch.Tensor, side: int) -> torch.Tensor:
    """The inverse of ``_by_frequency``."""
    frequencies, half, c = spectra.shape
    return spectra.view(frequencies, half * c).t().contiguous().view(half, c, side, side)
