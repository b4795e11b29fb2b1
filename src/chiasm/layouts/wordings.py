"""How the published language models behind a Q-Former are spoken to, by tokens and by words."""

from chiasm.core.types import Wording

# BLIP-2; what OPT says ends with a new line
OPT = Wording(start=2, close=None, end=50_118, pad=1, question="Question: {} Answer:", turn="Question: {} Answer:")
T5 = Wording(start=None, close=1, end=1, pad=0, question="Question: {} Short answer:", turn="Question: {} Answer:")
# InstructBLIP; Vicuna's tokenizer was given </s> for all that begins or ends, and one more word, for padding
VICUNA = Wording(start=2, close=None, end=2, pad=32_000, question="Question: {} Short answer:")
INSTRUCTED_T5 = Wording(start=None, close=1, end=1, pad=0, question="Question: {} Short answer:")
