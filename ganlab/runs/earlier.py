"""What runs of an earlier version had where their recipes say nothing: there was no choice yet."""

from ganlab.config import targets

UNSAID = {"ganlab.losses.reconstruction": {"standardize": "kept"}}


def unsaid(node: object, path: str) -> list[str]:
    """Words for keys that a section of a recipe leaves out, as they were when it was written."""
    return [
        f"++{where}.{key}={value}"
        for where, each in targets(node, path)
        for key, value in UNSAID.get(str(each["_target_"]), {}).items()
        if key not in each
    ]
