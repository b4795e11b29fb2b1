"""Weights by their name on the Hugging Face hub: fetched once, kept in its cache, resumed where it broke off."""

from pathlib import Path

from huggingface_hub import constants, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

ABOUT = ("*.json", "*.txt")  # configs, and vocabularies that have no tokenizer.json
WEIGHTS = ("model*.safetensors", "*.safetensors", "pytorch_model*.bin", "*.bin")  # the first that is there


def fetch(name: str, *, revision: str | None = None, token: str | None = None, offline: bool = False) -> Path:
    """The folder of a model's files: its weights in one form only, as pickles where there are no safetensors.

    `revision` is a branch, tag or commit. `offline` looks into the cache and nowhere else.
    """
    weights, *others = WEIGHTS
    folder = _fetched(name, weights, revision=revision, token=token, offline=offline)
    while others and not any(folder.glob(weights)):
        weights = others.pop(0)
        folder = _fetched(name, weights, revision=revision, token=token, offline=offline)
    return folder


def fetch_words(name: str, *, revision: str | None = None, token: str | None = None, offline: bool = False) -> Path:
    """The folder of a model's files but for its weights: its tokenizer is among them."""
    return _fetched(name, revision=revision, token=token, offline=offline)


def _fetched(name: str, *weights: str, revision: str | None, token: str | None, offline: bool) -> Path:
    """As much of a model as is asked for; whatever is wrong is said in a sentence."""
    at = f"{name} at revision {revision}" if revision else name
    try:
        return Path(
            snapshot_download(
                name, revision=revision, token=token, local_files_only=offline, allow_patterns=[*ABOUT, *weights]
            )
        )
    except HFValidationError:
        raise ValueError(
            f"{name!r} is neither a path that exists nor a name such as 'owner/model' on the hub"
        ) from None
    except GatedRepoError:
        raise ValueError(
            f"{at} asks you to accept its terms on its page; then pass a token of yours as token="
        ) from None
    except RevisionNotFoundError:
        raise ValueError(f"the hub has {name}, but no revision {revision!r} of it") from None
    except RepositoryNotFoundError:
        raise ValueError(
            f"there is no folder {name!r}, and the hub has no such model: look for a misspelling; "
            "a private model needs token="
        ) from None
    except LocalEntryNotFoundError:
        reason = "offline nothing is fetched" if offline or constants.HF_HUB_OFFLINE else "the hub cannot be reached"
        raise ValueError(
            f"there is no folder {name!r}, {at} is not in the hub's cache either, and {reason}: "
            "fetch it once where there is a network, or pass a path"
        ) from None
    except (HfHubHTTPError, OSError) as error:
        raise ValueError(f"{at} cannot be fetched: {str(error).splitlines()[0]}; the same call goes on") from error
