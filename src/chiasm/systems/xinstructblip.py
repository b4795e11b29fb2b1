"""X-InstructBLIP: pictures, videos, sounds and clouds of points, each learned alone, asked about together.

    picture ─ ViT (frozen) ──────── Q-Former with the instruction ─ linear ─┐
    video ─── the same ViT ──────── Q-Former of its own ─────────── linear ─┤   USER: image: [..] audio: [..] what to do
    sound ─── BEATs (frozen) ────── Q-Former of its own ─────────── linear ─┼─ ASSISTANT: ─ LM (frozen) ─ language
    points ── Point-BERT (frozen) ─ Q-Former of its own ─────────── linear ─┘

    image              pictures alone; all Q-Formers begin as BLIP-2's first stage ended, as far as they can
    video              videos alone; its Q-Former begins as that of pictures ended
    audio, points      sounds alone, clouds alone
    perceive-audio     sounds alone, and the encoder learns too: for lack of published ones, which only the
    perceive-points    miniature needs; its next stage is audio, or points

(arXiv:2311.18799.) One model goes through all stages, and in each a single connector learns: nothing that one
sense learned is touched by another. Q-Formers of sounds and clouds begin without anything of the first stage's
attention, since what they attend to is another thing. The language model is brought (`Run.brought`).

The released code begins a prompt with Vicuna's first token, before "USER:", and begins nothing else with one. Its
cues have lost their first blank. It reads a cloud as a single vector, which leaves a Q-Former nothing to choose:
`-groups` gives it every group of points, and is of another shape than the released weights.
"""

from collections.abc import Callable
from dataclasses import replace

from chiasm.archetypes.spliced import PICTURE, Borrowed, Encodes, Sense, SplicedLM
from chiasm.core.stage import Stage
from chiasm.core.system import System
from chiasm.core.types import Frames, Points, Waves, Wording
from chiasm.nn import beats, decoders, points, qformer, vit
from chiasm.nn.beats import BEATs
from chiasm.nn.connector import LinearConnector, QFormerConnector
from chiasm.nn.decoder import DecoderLM
from chiasm.nn.language import LanguageConfig
from chiasm.nn.points import AllGroups, PointEncoder, SinglePoint
from chiasm.nn.vit import Bare, ViT

CUES = {"image": "image: ", "video": "video: ", "audio": "audio: ", "points": "3d: "}
Connect = Callable[[int], QFormerConnector.Config | LinearConnector.Config]

# Vicuna's tokenizer was given </s> for all that begins or ends, and a token for padding, which is one more word
VICUNA = Wording(start=2, close=None, end=2, pad=32_000, before="USER: ", after="\nASSISTANT:")
# without marks, as texts are after cleaning
TINY = Wording(start=2, close=None, end=3, pad=0, before="user ", after=" assistant")
TOWER = vit.tiny(end=Bare())
FILES = "https://storage.googleapis.com/sfr-xinstructblip-data-research/model/xinstructblip_checkpoints"
RELEASED = ("image_qformer", "video_qformer", "audio_qformer_improved", "pc_qformer")


def published(lm: DecoderLM.Config, end: SinglePoint | AllGroups, connect: Connect | None = None) -> SplicedLM.Config:
    """ViT-g, BEATs and ULIP-2's Point-BERT."""
    encoders = (vit.eva_g14(), BEATs.Config(), PointEncoder.Config(end=end))
    return speaker(replace(lm, vocab=32_001), VICUNA, encoders, connect or _base)


def tiny(
    end: SinglePoint | AllGroups, connect: Connect | None = None, *, vision: ViT.Config = TOWER
) -> SplicedLM.Config:
    """Small things, short words, minutes on a CPU."""
    cfg = speaker(decoders.tiny(256), TINY, (vision, beats.tiny(), points.tiny(end)), connect or _tiny)
    media = dict(zip(CUES, (PICTURE, Frames(count=5), Waves(frames=32), Points(count=512)), strict=True))
    small = (replace(sense, media=media[sense.name], cue=sense.cue.replace(":", "")) for sense in cfg.senses)
    return replace(cfg, senses=tuple(small))


def speaker(
    lm: LanguageConfig, wording: Wording, encoders: tuple[Encodes, Encodes, Encodes], connect: Connect
) -> SplicedLM.Config:
    """The four senses, each with a connector of its own; `encoders` are for what is seen, heard and felt."""
    sight, hearing, touch = encoders
    parts = (
        (sight, sight.dim, PICTURE),
        (Borrowed(sense="image"), sight.dim, Frames(count=5)),
        (hearing, hearing.dim, Waves()),
        (touch, touch.dim, Points()),
    )
    senses = (
        Sense.Config(name=name, cue=cue, encoder=encoder, connector=connect(dim), media=media)
        for (name, cue), (encoder, dim, media) in zip(CUES.items(), parts, strict=True)
    )
    return SplicedLM.Config(lm=lm, senses=tuple(senses), wording=wording)


def uncued(cfg: SplicedLM.Config) -> SplicedLM.Config:
    """The ablation of table 7: nothing says of which kind is what comes."""
    return replace(cfg, senses=tuple(replace(sense, cue="") for sense in cfg.senses))


def _base(dim: int) -> QFormerConnector.Config:
    return QFormerConnector.Config(qformer=qformer.base(dim), eps=1e-5)  # torch's own, as released


def _tiny(dim: int) -> QFormerConnector.Config:
    return QFormerConnector.Config(qformer=qformer.tiny(dim))


def _linear(_dim: int) -> LinearConnector.Config:
    return LinearConnector.Config()


def _from_first_stage() -> dict[str, str]:
    """Where the senses begin: at BLIP-2's first stage, those that are not seen without its attention."""
    begun = {"senses.image.encoder": "retriever.vision", "senses.image.connector.norm": "retriever.vision_norm"}
    begun["senses.image.connector.qformer"] = "retriever.qformer"
    for sense in ("audio", "points"):
        for part in ("queries", "norm", "text", "layers.*.think"):
            begun[f"senses.{sense}.connector.qformer.{part}"] = f"retriever.qformer.{part}"
    return begun


def _alone(name: str, *learns: str, inherit: dict[str, str] | None = None) -> Stage:
    """A stage in which only some parts of one sense learn; all else is as the stage before it left it."""
    parts, kept = dict.fromkeys(learns, 1.0), {"": ""} if inherit is None else inherit
    return Stage(name=name, preset="tiny", train=parts, losses={"language": 1.0}, inherit=kept)


BRIDGE = "senses.{}.connector"
REST = ("lm", "senses.image", "senses.audio", "senses.points")
SYSTEM = System(
    paper="arXiv:2311.18799",
    weights=tuple(f"{FILES}/vicuna{size}/{name}.pth" for size in ("7b", "13b") for name in RELEASED),
    presets={
        "tiny": lambda: tiny(AllGroups()),
        "tiny-single": lambda: tiny(SinglePoint(dim=64)),
        "tiny-linear": lambda: tiny(AllGroups(), _linear),
        "tiny-uncued": lambda: uncued(tiny(AllGroups())),
        "vicuna-7b": lambda: published(decoders.vicuna_7b(), SinglePoint()),
        "vicuna-7b-groups": lambda: published(decoders.vicuna_7b(), AllGroups()),
        "vicuna-7b-linear": lambda: published(decoders.vicuna_7b(), SinglePoint(), _linear),
        "vicuna-13b": lambda: published(decoders.vicuna_13b(), SinglePoint()),
    },
    stages=(
        _alone("image", BRIDGE.format("image"), inherit=_from_first_stage()),
        _alone(
            "video",
            BRIDGE.format("video"),
            inherit={**dict(zip(REST, REST, strict=True)), BRIDGE.format("video"): BRIDGE.format("image")},
        ),
        _alone("perceive-audio", "senses.audio.encoder", BRIDGE.format("audio")),
        _alone("audio", BRIDGE.format("audio")),
        _alone("perceive-points", "senses.points.encoder", BRIDGE.format("points")),
        _alone("points", BRIDGE.format("points")),
    ),
)
