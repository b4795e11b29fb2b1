"""X-InstructBLIP as LAVIS has it (arXiv:2311.18799): a file for each modality, which holds what was trained of it.

    {m}_ln ─ {m}_query_tokens, {m}_Qformer ─ {m}_llm_proj        m: image, video, audio, pc

Encoders and language model were frozen and are others' files, so such a file is one sense's connector and no model:
`chiasm.load(file, base=...)` puts it into one.
"""

from chiasm.archetypes.spliced import Sense
from chiasm.core.dialect import Dialect, Found
from chiasm.layouts.blip2_lavis import read_qformer
from chiasm.layouts.spliced_lavis import EPS, trained
from chiasm.nn.connector import QFormerConnector
from chiasm.nn.language import LanguageConfig

NAMES = {"image": "image", "video": "video", "audio": "audio", "points": "pc"}  # ours: theirs


def senses(found: Found) -> tuple[str, ...]:
    """Those whose connectors a file holds."""
    return tuple(ours for ours, theirs in NAMES.items() if f"{theirs}_query_tokens" in found.shapes)


def read(found: Found, sense: str) -> QFormerConnector.Config:
    """The connector of one sense, by its shapes."""
    theirs = f"{NAMES[sense]}_"
    (dim,) = found.shape(f"{theirs}ln.weight")
    return QFormerConnector.Config(qformer=read_qformer(found, image_dim=dim, theirs=theirs), eps=EPS)


def rules(sense: Sense.Config, lm: LanguageConfig) -> Dialect:
    """What the tensors of its connector are called."""
    theirs = f"{NAMES[sense.name]}_"
    return trained(sense, lm, theirs=theirs, normed=f"{theirs}ln")
