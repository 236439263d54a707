"""JSON to frozen dataclasses. Members that a class does not know are passed over, so newer servers break nothing."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Callable, Hashable, Mapping
from functools import cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from posthorn.errors import UnexpectedAnswerError

T = TypeVar("T")
Reader = Callable[[Any, str], Any]


def decode(shape: type[T], value: Any) -> T:
    """
    Reads ``value``, as ``json.loads`` gives it, as ``shape``: a dataclass whose fields are snake_case spellings of the
    camelCase members.

    :raises UnexpectedAnswerError: a member is missing that is neither nullable nor has a default, or a member that
        holds others is not what it should be. Names the member.
    """
    # A class can be hashed, though not every checker knows.
    read = _reader(cast(Hashable, shape))
    return cast(T, read(value, shape.__name__))


def camel_case(name: str) -> str:
    """``created_at`` as it is in JSON: ``createdAt``."""
    first, *rest = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in rest)


@cache
def _reader(shape: Any) -> Reader:
    if dataclasses.is_dataclass(shape) and isinstance(shape, type):
        return _dataclass_reader(shape)
    origin, arguments = get_origin(shape), get_args(shape)
    if origin in (Union, types.UnionType):
        kinds = [argument for argument in arguments if argument is not type(None)]
        # Of several kinds none needs reading: text, or an object that stays as it is.
        read = _reader(kinds[0] if len(kinds) == 1 else Any)
        return lambda value, path: None if value is None else read(value, path)
    if origin is tuple:
        read_item = _reader(arguments[0])
        return lambda value, path: tuple(
            read_item(item, f"{path}[{index}]") for index, item in enumerate(_expect(value, list, "a list", path))
        )
    if origin is not None and origin is not Literal and issubclass(origin, Mapping):
        read_member = _reader(arguments[1])
        return lambda value, path: {
            name: read_member(member, f"{path}.{name}")
            for name, member in _expect(value, dict, "an object", path).items()
        }
    return lambda value, path: value


def _dataclass_reader(shape: type[Any]) -> Reader:
    hints = get_type_hints(shape)
    members = [
        (field.name, camel_case(field.name), _reader(hints[field.name]), _default(field, hints[field.name]))
        for field in dataclasses.fields(shape)
    ]

    def read(value: Any, path: str) -> Any:
        given = _expect(value, dict, "an object", path)
        values: dict[str, Any] = {}
        for name, member, read_member, default in members:
            if member in given:
                values[name] = read_member(given[member], f"{path}.{member}")
            elif default is not dataclasses.MISSING:
                values[name] = default
            else:
                raise _unexpected(f"{path}.{member} is missing")
        return shape(**values)

    return read


def _default(field: dataclasses.Field[Any], hint: Any) -> Any:
    if field.default is not dataclasses.MISSING:
        return field.default
    return None if hint is Any or type(None) in get_args(hint) else dataclasses.MISSING


def _expect(value: Any, kind: type[T], name: str, path: str) -> T:
    if isinstance(value, kind):
        return value
    raise _unexpected(f"{path} is not {name}")


def _unexpected(problem: str) -> UnexpectedAnswerError:
    message = f"The answer is not what Posthorn gives: {problem}. Check the base URL."
    return UnexpectedAnswerError(message, code="UNEXPECTED_ANSWER")
