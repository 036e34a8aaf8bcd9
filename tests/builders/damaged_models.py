"""Load and use mutated model files, in a process of its own; see test_fuzz.py.

    python tests/builders/damaged_models.py FIRST LAST [--boosters]

Every number is the seed of one mutation. A file may be refused by an InputError, or predict rows as
a model does; anything else ends the process with the seed.
"""

import hashlib
import json
import random
import sys
import tempfile
import traceback
import warnings
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genebatch import load_model
from genebatch.io.files import InputError

DATA = Path(__file__).parents[1] / "data"
ODD = [None, True, -1, 0, 1, 2**31, 2**63, 1e308, -1e308, float("nan"), float("inf"), "", "x", "0"]
ODD += ["../../x", "\x00", [], {}, [[]], [None], {"a": None}, "é" * 50]


def mutated(content: dict[str, bytes], rng: random.Random, only_boosters: bool) -> bytes:
    """A zip of the content with something else in it, and digests that are right all the same."""
    content = dict(content)
    names = [name for name in content if name.endswith(".ubj")]
    described = json.loads(content["model.json"])
    if only_boosters or rng.random() < 0.4:
        name = rng.choice(names)
        content[name] = bytes_mutated(content[name], rng)
    else:
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            value_mutated(described, rng)
    if isinstance(described, dict) and isinstance(described.get("files"), dict):
        for name, facts in described["files"].items():
            if isinstance(facts, dict) and name in content and rng.random() < 0.95:
                facts["bytes"] = len(content[name])
                facts["sha256"] = hashlib.sha256(content[name]).hexdigest()
    content["model.json"] = json.dumps(described).encode()
    with tempfile.TemporaryFile() as stream:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in content.items():
                archive.writestr(name, data)
        stream.seek(0)
        whole = stream.read()
    return whole if only_boosters or rng.random() < 0.7 else bytes_mutated(whole, rng)


def bytes_mutated(data: bytes, rng: random.Random) -> bytes:
    """Some bytes other than they were, cut out, doubled, or all that follows lost."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 5))):
        place = rng.randrange(max(len(found), 1))
        length = rng.choice((1, 1, 4, 8, 40))
        kind = rng.randrange(6)
        if kind < 3 and found:
            found[place] = rng.choice((rng.randrange(256), 0, 127, 128, 255))
        elif kind == 3:
            del found[place : place + length]
        elif kind == 4:
            found[place:place] = found[place : place + length]
        elif rng.random() < 0.3:
            del found[max(place, 1) :]
        else:
            found[place : place + length] = bytes(rng.randrange(256) for _ in range(length))
    return bytes(found)


def value_mutated(described: Any, rng: random.Random) -> None:
    """Another value somewhere in the description, or one more, or one less."""
    places = [
        (holder, key)
        for holder in containers(described)
        for key in (holder if isinstance(holder, dict) else range(len(holder)))
    ]
    holder, key = rng.choice(places)
    kind = rng.randrange(5)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, list):
        holder.insert(key, holder[key])
    elif kind == 2:
        other, place = rng.choice(places)
        holder[key] = json.loads(json.dumps(other[place]))
    else:
        holder[key] = rng.choice(ODD)


def containers(value: Any):
    if isinstance(value, dict | list):
        yield value
        for child in value.values() if isinstance(value, dict) else value:
            yield from containers(child)


def outcome(path: Path, rows: pl.DataFrame) -> str:
    """What became of a file; raises what no file may lead to."""
    try:
        model = load_model(path)
        found = model.predict_proba(rows)
    except InputError:
        return "refused"
    if found.shape != (rows.height, len(model.classes)):
        raise AssertionError(f"probabilities of shape {found.shape}")
    if not ((found >= 0) & (found <= 1)).all():
        raise AssertionError("probabilities beyond 0 and 1")
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-6)
    return "used"


def main() -> None:
    first, last = map(int, sys.argv[1:3])
    with zipfile.ZipFile(DATA / "model_format_1.gbm") as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    said = json.loads((DATA / "model_format_1.json").read_text())
    rows = pl.DataFrame(said["rows"], infer_schema_length=None)
    counted: Counter = Counter()
    warnings.simplefilter("error")
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "model.gbm"
        for seed in range(first, last):
            path.write_bytes(mutated(content, random.Random(seed), "--boosters" in sys.argv))
            print(seed, file=sys.stderr, flush=True)
            try:
                counted[outcome(path, rows)] += 1
            except Exception:
                print(f"seed {seed}: {traceback.format_exc()}")
                counted["failed"] += 1
                if "--all" not in sys.argv:
                    sys.exit(1)
    print(json.dumps(counted))


if __name__ == "__main__":
    main()
