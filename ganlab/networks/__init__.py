"""One file per paper: a `Generator` and a `Discriminator` each, torch only.

- `base`: what every network promises, and the `Condition` it may be told
- `vanilla`: Goodfellow et al. 2014, fully connected, maxout and dropout
- `dcgan`: Radford et al. 2016, convolutional with batch normalization, 32 to 256 px
- `progan`: Karras et al. 2018, grown from 4x4
- `stylegan`: Karras et al. 2019, styles on a constant; its ladder and its norms are switches
"""
