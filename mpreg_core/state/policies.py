"""Which policy a write goes to, and what a plugin's function makes of it."""

from mpreg_core.contracts.api import Json, PolicyName
from mpreg_core.errors import ConflictError, InvalidInputError, did_you_mean
from mpreg_core.state.custom import PREFIX, Custom, Merges, merged_text
from mpreg_core.state.value import decode_value, encode_value
from mpreg_core.state.version import STATES, AnyState, policy_of


class Policies:
    """The policies that a node offers: those of `STATES`, and `custom:<name>` for each of its merge functions."""

    def __init__(self, merges: Merges) -> None:
        self._merges = merges
        begun: dict[PolicyName, AnyState] = {name: state() for name, state in STATES.items() if state is not Custom}
        self._begun = begun | {PREFIX + name: Custom(name=name) for name in sorted(merges)}

    def begun(self, key: str, held: AnyState | None, policy: PolicyName | None) -> AnyState:
        """An empty state of the policy that a write goes to. Raises `InvalidInputError`, `ConflictError`."""
        found = policy_of(held) if held is not None else None
        wanted = policy or found or "last_write_wins"
        if wanted not in self._begun:
            known, hint = ", ".join(self._begun), did_you_mean(wanted, list(self._begun))
            raise InvalidInputError(f"expected a policy of {known}, got {wanted!r:.80}{hint}", where=key)
        if found is not None and found != wanted:
            message = f"expected policy {found}, which governs the key, got {wanted}; delete the key first"
            raise ConflictError(message, where=key)
        return self._begun[wanted]

    def merged(self, key: str, name: str, held: AnyState, value: Json) -> Json:
        """A value with those that are held. Raises `InvalidInputError` where the function raised."""
        texts = [*held.texts(), encode_value(value)]
        try:
            return decode_value(merged_text(texts, self._merges[name]))
        except Exception as error:  # a stranger's function
            text = f"{PREFIX}{name} does not merge this value: {type(error).__name__}: {error}"
            raise InvalidInputError(text, where=key) from error
