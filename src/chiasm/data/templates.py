"""What language models are told to do about pictures, in many words: some to learn from, others to be tested with.

    Say briefly what the picture shows.                          ─ a red star
    Look at the picture and answer briefly: what colour is it?   ─ red

InstructBLIP (arXiv:2305.06500, section 2.1) draws one of 10 to 15 templates of its task for each row, and asks for
short answers in so many words. These are our own. Those held out are for tests alone: each has words that none of
the held in has.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Templates:
    """Ways to ask for one thing, in which {} is the question, if there is one."""

    held_in: tuple[str, ...]
    held_out: tuple[str, ...]


CAPTIONS = Templates(
    held_in=(
        "Say briefly what the picture shows.",
        "In short, what is to be seen here?",
        "Sum this picture up in a short sentence.",
        "What would be a short caption for this?",
        "Give the picture a short title that says what is in it.",
        "Tell me briefly what you see.",
        "A short text that goes with this picture:",
        "Name in short what is in the picture.",
        "Put the picture into a few short words.",
        "What is this a picture of? Answer briefly.",
        "Somebody cannot see the picture. Tell them briefly what it shows.",
        "The picture shows, in short:",
    ),
    held_out=(
        "Caption this photo, keeping the text short.",
        "Which short line fits what you are looking at?",
        "Describe briefly what is depicted.",
    ),
)
QUESTIONS = Templates(
    held_in=(
        "Look at the picture and answer briefly: {}",
        "{} Answer briefly.",
        "{} A short answer:",
        "A question about this picture: {} In short:",
        "Briefly: {}",
        "What would you say, in short? {}",
        "{} Say it in a short word or two.",
        "Somebody asks: {} You answer briefly:",
        "Give a short answer to this: {}",
        "Here is something to look for. {} Short answer:",
        "Use the picture to answer. {} Keep it short.",
        "In a word or two, as short as can be: {}",
    ),
    held_out=(
        "Judging by the photo, tell me briefly: {}",
        "{} Your reply should be short:",
        "Examine the image. {} Respond with a short phrase.",
    ),
)
