"""The per-channel mean and standard deviation that images are normalised with."""

import numpy as np

# Over all 50,000 training images and all pixels, in units of pixel / 255. The often copied CIFAR-10
# deviation (0.2023, 0.1994, 0.2010) is wrong: it is the mean over images of each image's deviation.
KNOWN = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
}


def mean_and_std(name, images) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return the published constants where `name` has them, else those computed from `images`.

    The sums are integer sums of a histogram, so the result does not depend on summation order, and the
    deviation of a channel that has one value is 0.

    Args:
      name: the data set's name.
      images: the training images, uint8 [N, H, W, C].
    Returns:
      (mean, std): tuples of C floats, of pixel / 255.
    """
    if name in KNOWN:
        return KNOWN[name]
    values = np.arange(256)
    mean, std = [], []
    for channel in range(images.shape[-1]):
        counts = np.bincount(images[..., channel].reshape(-1), minlength=256)
        first = counts @ values / counts.sum()
        second = counts @ values**2 / counts.sum()
        mean.append(float(first / 255))
        std.append(float(np.sqrt(second - first**2) / 255))
    return tuple(mean), tuple(std)
