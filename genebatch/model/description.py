"""Whether a model file's description, `model.json`, is one: types, sizes, and what must agree."""

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from jsonschema import Draft202012Validator

from genebatch.io.files import InputError

TEXT: dict[str, Any] = {"type": "string"}
NUMBER: dict[str, Any] = {"type": "number"}
NAMES = {"type": "array", "items": TEXT, "minItems": 1, "uniqueItems": True}
NONE_OR_TEXT = {"type": ["string", "null"]}


def _object(required: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": required, "required": list(required), **more}


MEMBER = _object(
    {
        "name": TEXT,
        "calibrators": {"type": "array", "items": {"type": "object"}},
        "groups": {"type": "array", "items": TEXT},
        "groups_digest": TEXT,
        "class_weight": {"type": "array", "items": {"type": "number", "minimum": 0}},
        "facts": {"type": "object"},
    }
)
DESCRIPTION = _object(
    {
        "genebatch": TEXT,
        "classes": NAMES | {"minItems": 2},
        "features": _object({"names": NAMES, "n_dense": {"type": "integer", "minimum": 0}}),
        "scores": {"type": ["object", "null"], "additionalProperties": TEXT},
        "combiner": _object({"name": TEXT, "parameters": {"type": "object"}}),
        "prevalence": {
            "type": ["object", "null"],
            "additionalProperties": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        },
        "columns": _object({"group": TEXT}, additionalProperties=NONE_OR_TEXT),
        "facts": {"type": "object"},
        "members": {"type": "array", "items": MEMBER, "minItems": 1},
        "files": {
            "type": "object",
            "additionalProperties": _object(
                {"sha256": TEXT, "bytes": {"type": "integer", "minimum": 0}}
            ),
        },
    }
)
VALIDATOR = Draft202012Validator(DESCRIPTION)


def read_description(data: bytes, newest: int) -> dict[str, Any]:
    """Read and check `model.json`.

    Parameters
    ----------
    data
        Its bytes.
    newest
        The newest format that this version reads.

    Raises
    ------
    InputError
        If it is no description, of a later format, or its parts do not fit each other.
    """
    found = json.loads(data, parse_constant=_no_number)
    if not isinstance(found, dict) or type(found.get("format")) is not int:
        raise InputError("model.json names no format")
    if found["format"] > newest:
        raise InputError(
            f"format {found['format']} is newer than this version reads ({newest}); "
            f"install genebatch {found.get('genebatch')} or later"
        )
    problem = next(VALIDATOR.iter_errors(found), None)
    if problem is not None:
        raise InputError(f"model.json: {problem.json_path[:100]}: {problem.message[:200]}")
    _check_parts(found)
    return found


def _check_parts(found: Mapping[str, Any]) -> None:
    """Raise unless what is said of classes and features agrees."""
    classes, features = found["classes"], found["features"]
    if features["n_dense"] > len(features["names"]):
        raise InputError("model.json: more dense features than features")
    for key in ("scores", "prevalence"):
        if found[key] is not None and set(found[key]) != set(classes):
            raise InputError(f"model.json: {key} names other classes than {', '.join(classes)}")
    if found.get("rest_class") not in (None, *classes):  # files before it divide by the sum
        raise InputError("model.json: rest_class is none of the classes")
    for member in found["members"]:
        weights = member["class_weight"]
        if not all(map(math.isfinite, weights)) or not math.isfinite(sum(weights)):
            raise InputError(f"model.json: class_weight of member {member['name']} is not finite")
    if found["prevalence"] is not None:
        # Members of another number of classes are told apart where their boosters are read.
        weights = zip(*(member["class_weight"] for member in found["members"]), strict=False)
        if not math.isclose(sum(found["prevalence"].values()), 1, abs_tol=1e-6):
            raise InputError("model.json: prevalence does not add up to 1")
        if not all(sum(one) > 0 for one in weights):
            raise InputError("model.json: prevalence of a class that no member was trained on")


def _no_number(text: str) -> NoReturn:
    raise InputError(f"model.json has {text} where a number belongs")
