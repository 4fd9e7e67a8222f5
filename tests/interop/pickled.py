"""Objects of other people's classes, pickled as those classes pickle them."""

import pickle
import sys
import types
from contextlib import contextmanager


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


def tensorflow_bytes(networks, where="dnnlib.tflib.network", protocol=4):
    """A pickle of NVIDIA's TensorFlow repositories: objects with a state, of classes elsewhere.

    A network is a dict of variables, or a dict with `components`, `variables`, `static_kwargs`;
    variables may be pairs as well.
    """
    parts = where.split(".")
    with modules(*(".".join(parts[: i + 1]) for i in range(len(parts)))) as made:
        kind = type("Network", (), {"__module__": where})
        made[where].__dict__["Network"] = kind

        def network(state):
            built = kind()
            inner = {name: network(part) for name, part in state.get("components", {}).items()}
            given = state["variables"]
            pairs = given.items() if isinstance(given, dict) else given
            variables = [(n, v.numpy() if hasattr(v, "numpy") else v) for n, v in pairs]
            built.__dict__.update(
                version=3, name="G", build_module_src="raise SystemExit", build_func_name="G_style",
                static_kwargs=state.get("static_kwargs", {}), components=inner, variables=variables,
            )  # fmt: skip
            return built

        return pickle.dumps(tuple(map(network, networks)), protocol)
