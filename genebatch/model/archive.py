"""Writes and reads the model file, a zip `.gbm`."""

import hashlib
import io
import json
import platform
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import sklearn
import xgboost as xgb

from genebatch import __version__
from genebatch.dataset.feature_set import Features
from genebatch.io.files import InputError, digest, whole
from genebatch.model import boosting, combiners
from genebatch.model.calibration import Calibrator
from genebatch.model.ensemble import EnsembleModel, Member
from genebatch.model.file_checks import check_booster, read_description
from genebatch.model.pickle_file import load_pickle

FORMAT = 2
PLAIN_FORMAT = 1  # which version 0.1 reads, and predicts with as this version does
MODEL_JSON = "model.json"
# Names of the delivered model in a results folder; older results have only the second.
MODEL_NAMES = ("model.gbm", "model_multiclass_all_genes.gbm")
# A file may unpack to so many times its size, or to so many bytes if that is more: boosters and
# names compress three- to tenfold, a bomb a thousandfold.
UNPACKED_TIMES = 50
UNPACKED_BYTES = 16 << 20
# The zip format needs a date; a fixed one makes equal models equal files.
EPOCH = (1980, 1, 1, 0, 0, 0)
# What zipfile, json, xgboost (a ValueError) and our own look-ups raise on broken content.
DAMAGED = (zipfile.BadZipFile, zlib.error, OSError, EOFError, LookupError, ValueError, TypeError)
DAMAGED += (AttributeError, RuntimeError)


def save_model(model: EnsembleModel, path: str | Path) -> None:
    """Write the model file whole; equal models give equal bytes.

    Raises
    ------
    InputError
        If the model has no members.
    """
    with whole(path) as temporary:
        _write(model, temporary)


def to_bytes(model: EnsembleModel) -> bytes:
    """Give the bytes that `save_model` writes."""
    stream = io.BytesIO()
    _write(model, stream)
    return stream.getvalue()


def load_model(path: str | Path, *, threads: int = 1, trust: bool = False) -> EnsembleModel:
    """Load a model file, or the model of a results folder.

    Parameters
    ----------
    path
        A `.gbm` file, the `.pkl` beside it, or a folder that holds `model.gbm` or
        `model_multiclass_all_genes.gbm` (directly, or in `model/`).
    threads
        Threads of a prediction.
    trust
        Reading a `.pkl` runs whatever code its author put there, so it needs `trust=True`.

    Raises
    ------
    InputError
        If the file is missing, of a later format, or not as it was saved. Names and sizes of all
        entries and the SHA-256 of every booster must agree with `model.json`; the checksum of the
        zip covers `model.json` itself. Fields of the zip that change no content, such as dates,
        are not compared.
    """
    path = _locate(Path(path))
    if path.suffix == ".pkl":
        return _with_threads(load_pickle(path, trust), threads)
    return _with_threads(_load(path, path.stat().st_size, str(path)), threads)


def from_bytes(data: bytes, threads: int = 1) -> EnsembleModel:
    """Read a model from the bytes of its file, as `load_model` does from a path."""
    return _with_threads(_load(io.BytesIO(data), len(data), "the pickled model"), threads)


def _write(model: EnsembleModel, target: Path | BinaryIO) -> None:
    if not model.members:
        raise InputError("the model has no members; a model file needs one at least")
    contents = dict(_boosters(model))
    description = _describe(model) | {
        "files": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
            for name, data in contents.items()
        }
    }
    text = json.dumps(description, indent=1, allow_nan=False, ensure_ascii=False)
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in {MODEL_JSON: text.encode(), **contents}.items():
            info = zipfile.ZipInfo(name, EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, data)


def _boosters(model: EnsembleModel) -> Iterator[tuple[str, bytes]]:
    """Name in the archive and bytes of every booster."""
    for kind, sets in (("members", [m.boosters for m in model.members]), ("folds", _folds(model))):
        for row, boosters in enumerate(sets):
            names = _booster_names(kind, row, len(model.classes))
            yield from zip(names, map(boosting.to_bytes, boosters), strict=True)


def _folds(model: EnsembleModel) -> list[tuple[xgb.Booster, ...]]:
    """The boosters of the folds of all members, member after member."""
    return [boosters for member in model.members for boosters in member.folds]


def _booster_names(kind: str, row: int, n_classes: int) -> list[str]:
    """Names in the archive of a booster for each class, of a member or of a fold."""
    return [f"{kind}/{row * n_classes + column:03d}.ubj" for column in range(n_classes)]


def _describe(model: EnsembleModel) -> dict[str, Any]:
    """Give the content of `model.json` but for the list of files."""
    return {
        "format": _format(model),
        "genebatch": __version__,
        "libraries": {
            "python": platform.python_version(),
            "xgboost": xgb.__version__,
            "numpy": np.__version__,
            "scikit-learn": sklearn.__version__,
        },
        "classes": list(model.classes),
        "features": model.features.to_json(),
        "scores": model.scores,
        "rest_class": model.rest_class,
        "combiner": model.combiner,
        "prevalence": model.prevalence,
        "columns": model.columns,
        "facts": model.facts,
        "members": [_member_json(member) for member in model.members],
        **({} if model.class_weight is None else {"class_weight": list(model.class_weight)}),
    }


def _format(model: EnsembleModel) -> int:
    """The format of the file: that of version 0.1, unless it would predict something else."""
    shifted = model.prevalence is not None and model.class_weight is not None
    return FORMAT if model.features.categories or shifted else PLAIN_FORMAT


def _member_json(member: Member) -> dict[str, Any]:
    return {
        "name": member.name,
        "calibrators": [calibrator.to_json() for calibrator in member.calibrators],
        "groups": list(member.groups),
        "groups_digest": digest(sorted(member.groups)),
        "class_weight": list(member.class_weight),
        "facts": member.facts,
        **({"folds": len(member.folds)} if member.folds else {}),
    }


def _with_threads(model: EnsembleModel, threads: int) -> EnsembleModel:
    for boosters in (*(member.boosters for member in model.members), *_folds(model)):
        for booster in boosters:
            booster.set_param({"nthread": threads})
    return replace(model, threads=threads)


def _locate(path: Path) -> Path:
    """Give the path of a model file, or of the one in a folder."""
    if path.is_dir():
        for folder in (path, path / "model"):
            for name in MODEL_NAMES:
                if (folder / name).is_file():
                    return folder / name
        names = " or ".join(MODEL_NAMES)
        raise InputError(f"folder {path} holds no {names}, nor does its folder model/")
    if not path.is_file():
        raise InputError(f"model file {path} does not exist")
    return path


def _load(source: Path | BinaryIO, size: int, name: str) -> EnsembleModel:
    """Read a model file of `size` bytes; errors name it `name`."""
    try:
        with zipfile.ZipFile(source) as archive:
            return _read(archive, max(UNPACKED_BYTES, UNPACKED_TIMES * size))
    except InputError as error:
        raise InputError(f"{name} is damaged or no model file: {error}") from error
    except zipfile.BadZipFile as error:
        fact = "it is not packed as a model file (.gbm) is"
        raise InputError(f"{name} is damaged or no model file: {fact}") from error
    except DAMAGED as error:
        raise InputError(f"{name} is damaged or no model file: {error!r}") from error


def holds_model(path: str | Path) -> bool:
    """Whether a file is packed as a model file is, or a folder holds such a file."""
    try:
        return zipfile.is_zipfile(_locate(Path(path)))
    except InputError:
        return False


def _read(archive: zipfile.ZipFile, most: int) -> EnsembleModel:
    """Read an archive that may unpack to `most` bytes."""
    description = _read_description(archive, most)
    features = Features.from_json(description["features"])
    boosters = _read_boosters(archive, description["files"], features)
    members, combiner = description["members"], description["combiner"]
    n_classes = len(description["classes"])
    combiners.check(combiner["name"], combiner["parameters"], len(members), n_classes)

    def stored(kind: str, row: int) -> list[bytes]:
        return [boosters[name] for name in _booster_names(kind, row, n_classes)]

    built, fold = [], 0
    for row, value in enumerate(members):
        end = fold + value.get("folds", 0)
        folds = [stored("folds", number) for number in range(fold, end)]
        built.append(_member(value, stored("members", row), folds))
        fold = end
    weight = description.get("class_weight")  # absent where it is that of the members
    return EnsembleModel(
        members=tuple(built),
        features=features,
        classes=tuple(description["classes"]),
        scores=description["scores"],
        combiner=combiner,
        prevalence=description["prevalence"],
        columns=description["columns"],
        facts=description["facts"],
        rest_class=description.get("rest_class"),  # absent from older files, which had none
        class_weight=None if weight is None else tuple(weight),
    )


def _read_description(archive: zipfile.ZipFile, most: int) -> dict[str, Any]:
    """Read `model.json`; raise unless the entries of the archive are those that it lists."""
    for info in archive.infolist():
        if info.compress_type != zipfile.ZIP_DEFLATED:
            raise InputError(f"{info.filename} is not compressed as model files are")
    data = _read_bytes(archive, MODEL_JSON, most)
    description = read_description(data, FORMAT)
    if sorted(archive.namelist()) != sorted([MODEL_JSON, *description["files"]]):
        raise InputError("its list of members differs from model.json")
    total = len(data) + sum(facts["bytes"] for facts in description["files"].values())
    if total > most:
        raise InputError(f"it would unpack to {total:,} bytes, more than a model of its size does")
    return description


def _read_boosters(
    archive: zipfile.ZipFile, files: Mapping[str, Mapping[str, Any]], features: Features
) -> dict[str, bytes]:
    """Read and check the bytes of every booster, by its name in the archive."""
    sizes = [len(features.categories.get(name, ())) for name in features.names]
    boosters = {}
    for name, facts in files.items():
        data = _read_bytes(archive, name, facts["bytes"])
        if len(data) != facts["bytes"]:
            raise InputError(f"{name} has {len(data):,} bytes, not {facts['bytes']:,}")
        if hashlib.sha256(data).hexdigest() != facts["sha256"]:
            raise InputError(f"{name} does not have the digest it was saved with")
        try:
            check_booster(data, np.array(sizes))
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
        boosters[name] = data
    return boosters


def _read_bytes(archive: zipfile.ZipFile, name: str, size: int) -> bytes:
    """Read an entry of at most `size` bytes, whatever the archive claims."""
    with archive.open(name) as stream:
        data = stream.read(size + 1)
    if len(data) > size:
        raise InputError(f"{name} is larger than it may be ({size:,} bytes)")
    return data


def _member(
    value: Mapping[str, Any], boosters: Sequence[bytes], folds: Sequence[Sequence[bytes]]
) -> Member:
    if digest(sorted(value["groups"])) != value["groups_digest"]:
        raise InputError(f"the groups of member {value['name']} do not have their digest")
    if not len(value["calibrators"]) == len(value["class_weight"]) == len(boosters):
        raise InputError(f"member {value['name']} does not have one calibrator for each class")
    return Member(
        value["name"],
        tuple(map(boosting.from_bytes, boosters)),
        tuple(Calibrator.from_json(calibrator) for calibrator in value["calibrators"]),
        tuple(value["groups"]),
        tuple(value["class_weight"]),
        value["facts"],
        tuple(tuple(map(boosting.from_bytes, fold)) for fold in folds),
    )
