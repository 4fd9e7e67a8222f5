"""Rings for ganlab: one member of each kind, in a package of its own.

| kind | class | config |
|---|---|---|
| data set | `data.rings` | `data=rings` |
| model | `networks.Generator` | `model=radial` |
| normalization | `norms.LayerNorm` | `model/norm=layer` |
| score | `metrics.Asymmetry` | `metrics=rings` |
| study | `studies.RadialProfile` | `study=radial_profile` |
"""
