"""How many objects something holds on to: what grows without bound shows in it, whatever it is."""

import gc
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

_SHARED = (type, ModuleType, FunctionType, BuiltinFunctionType, MethodType)


def objects_of(root: object) -> int:
    """The number of objects that can be reached from `root`, not counting code."""
    seen = {id(root)}
    rest = [root]
    while rest:
        for found in gc.get_referents(rest.pop()):
            if id(found) not in seen and not isinstance(found, _SHARED):
                seen.add(id(found))
                rest.append(found)
    return len(seen)
