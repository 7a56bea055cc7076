"""What parameters are made of: sections with keys, ranges of numbers, and words for both."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import ErrorDetails

Count = Annotated[int, Field(ge=1, le=10**9)]
Rate = Annotated[float, Field(gt=0, le=1)]
Precision = Literal["auto", "fp32", "bf16"]

# pydantic's words where they would not help the person who reads them
WORDING = {
    "too_short": "at least one name",
    "model_type": "a section with keys of its own",
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "a name",
    "list_type": "a list of names",
    "none_required": "null",
    "string_pattern_mismatch": "64 hexadecimal digits",
    "invalid_key": "keys that are text",
}
# Of these, pydantic names the end that was passed alone.
RANGES = ("greater_than", "greater_than_equal", "less_than", "less_than_equal")
RANGED = ("integer", "number")
KINDS = {
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "string": "text",
    "null": "null",
}


class Section(BaseModel):
    """A part of `params.yaml`: no unknown keys, no silent conversions."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def explain(details: Sequence[ErrorDetails], model: type[BaseModel]) -> str:
    """Say in words which keys of a model are wrong and what is allowed."""
    names = _names(model)
    problems: dict[str, str] = {}
    for detail in details:
        location = [part for part in detail["loc"] if str(part) in names or isinstance(part, int)]
        key = ".".join(str(part) for part in location)
        if detail["type"] == "extra_forbidden":
            *section, _ = detail["loc"]
            key = ".".join(str(part) for part in detail["loc"])
            allowed = ", ".join(_allowed_keys(model, section)) or "none"
            problems[key] = f"unknown key; allowed: {allowed}"
        elif detail["type"] == "missing":
            problems[key] = "missing; `git diff params.yaml` shows what was removed"
        else:
            allowed = WORDING.get(detail["type"]) or detail["msg"]
            if detail["type"] in RANGES:
                allowed = _range(model, location)
            allowed = allowed.removeprefix("Value error, ").removeprefix("Input should be ")
            before = problems.get(key)
            got = f"got {_plain(detail['input'])}; allowed: {allowed}"
            problems[key] = f"{before} or {allowed}" if before else got
    return "; ".join(f"{key}: {problem}" for key, problem in problems.items())


def _range(model: type[BaseModel], location: Sequence[str | int]) -> str:
    """Return what numbers a key may have."""
    schema = model.model_json_schema()
    field = schema
    for part in location:
        field = field["properties"][part]
        if "$ref" in field:
            field = schema["$defs"][field["$ref"].rpartition("/")[2]]
    numbers = (one for one in field.get("anyOf", [field]) if one.get("type") in RANGED)
    return _allowed(next(numbers))


def _names(model: type[BaseModel]) -> set[str]:
    """Return the names of all keys; pydantic's locations hold other words beside them."""
    names = set(model.model_fields)
    for field in model.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            names |= _names(field.annotation)
    return names


def _allowed_keys(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    for part in location:
        annotation = model.model_fields[str(part)].annotation
        assert isinstance(annotation, type) and issubclass(annotation, BaseModel)
        model = annotation
    return list(model.model_fields)


def described(model: type[BaseModel]) -> dict[str, tuple[str, str, str]]:
    """Return key → what it is, what is allowed, its default, of a model without sections."""
    schema = model.model_json_schema()["properties"]
    return {
        key: (field.get("description", key), _allowed(field), _plain(field["default"]).strip("'"))
        for key, field in schema.items()
    }


def _allowed(field: dict[str, Any]) -> str:
    if "anyOf" in field:
        return " or ".join(_allowed(one) for one in field["anyOf"])
    if "enum" in field or "const" in field:
        return ", ".join(field.get("enum") or [field["const"]])
    bounds = [
        f"{word}{_plain(field[key])}"
        for key, word in {
            "minimum": "",
            "exclusiveMinimum": "above ",
            "maximum": "to ",
            "exclusiveMaximum": "to below ",
        }.items()
        if key in field
    ]
    if len(bounds) == 1:
        bounds = ["at least", *bounds] if "minimum" in field else bounds
    return " ".join(bounds) or KINDS.get(str(field.get("type")), "any")


def _plain(value: Any) -> str:
    """Return a value as YAML has it, a number without needless digits."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    whole = isinstance(value, float) and value.is_integer()
    return repr(int(value) if whole else value)
