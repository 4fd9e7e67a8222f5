"""Neurons: which fire, which mark bad images, what goes when they are switched off."""
