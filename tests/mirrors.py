"""Stages of classifiers as a pyramid's config has them: [channels, reduction], [channels]."""

FASHION = {
    "pool1": [16, 2],
    "pool2": [32, 4],
    "pool3": [64, 8],
    "pool4": [128, 16],
    "fc7": [128],
    "fc8": [10],
}
VGG = {
    "pool1": [64, 2],
    "pool2": [128, 4],
    "pool3": [256, 8],
    "pool4": [512, 16],
    "pool5": [512, 32],
    "fc7": [4096],
    "fc8": [365],
}
