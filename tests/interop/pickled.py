"""Objects of other people's classes, pickled as those classes pickle them."""

import pickle
import sys
import types
from contextlib import contextmanager

CALL = "_reconstruct_persistent_obj"


@contextmanager
def modules(*names):
    """Empty modules by these names, while objects that name them are pickled."""
    made = {name: types.ModuleType(name) for name in names}
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update(made)
    try:
        yield made
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


class Persistent:
    """A network as `torch_utils.persistence` pickles one: a call with source and state."""

    def __init__(self, state, arguments=(), options=None, source=""):
        self.state, self.arguments = state, arguments
        self.options, self.source = options or {}, source

    def __reduce__(self):
        function = sys.modules["torch_utils.persistence"].__dict__[CALL]
        attributes = nested(self.state)
        attributes |= {"_init_args": self.arguments, "_init_kwargs": self.options}
        meta = {"type": "class", "version": 6, "module_src": self.source, "class_name": "Generator"}
        return function, ({**meta, "state": attributes},)


def nested(state):
    """A state dict as the attributes of modules within modules."""
    here = {name: value for name, value in state.items() if "." not in name}
    inner = {}
    for name, value in state.items():
        if "." in name:
            first, _, rest = name.partition(".")
            inner.setdefault(first, {})[rest] = value
    buffers = {"freqs", "phases", "transform", "w_avg", "magnitude_ema"}
    kept = {name: value for name, value in here.items() if name in buffers}
    return {
        "_parameters": {name: value for name, value in here.items() if name not in buffers},
        "_buffers": kept,
        "_modules": {name: Persistent(part) for name, part in inner.items()},
    }


def nvidia_bytes(content):
    """A pickle of NVIDIA's PyTorch repositories."""
    with modules("torch_utils", "torch_utils.persistence") as made:
        exec(f"def {CALL}(meta): pass", made["torch_utils.persistence"].__dict__)
        made["torch_utils.persistence"].__dict__[CALL].__module__ = "torch_utils.persistence"
        return pickle.dumps(content)


def tensorflow_bytes(networks, where="dnnlib.tflib.network", protocol=4):
    """A pickle of NVIDIA's TensorFlow repositories: objects with a state, of classes elsewhere.

    A network is a dict of variables, or a dict with `components`, `variables`, `static_kwargs`.
    """
    parts = where.split(".")
    with modules(*(".".join(parts[: i + 1]) for i in range(len(parts)))) as made:
        kind = type("Network", (), {"__module__": where})
        made[where].__dict__["Network"] = kind

        def network(state):
            built = kind()
            inner = {name: network(part) for name, part in state.get("components", {}).items()}
            variables = [(n, v.numpy()) for n, v in state["variables"].items()]
            built.__dict__.update(
                version=3, name="G", build_module_src="raise SystemExit", build_func_name="G_style",
                static_kwargs=state.get("static_kwargs", {}), components=inner, variables=variables,
            )  # fmt: skip
            return built

        return pickle.dumps(tuple(map(network, networks)), protocol)
