"""Images scored against the reals of a run's data: in training as in a study.

`reals` feeds a suite the protocol's choice of real images, `scoring` compares images with them and
keeps the records, `directions` says which score decides what is best.
"""
