"""One more test of Bandit's, T100: what a file can do that Bandit's own tests do not see.

Its one issue for each file is a receipt with a line for each place: `ABILITY LINE WORDS`. Bandit goes on without a word where a test
fails or is not installed; init takes a file without this receipt for one that was not scanned.
"""

import ast

import bandit
from bandit.core import test_properties as test

from . import hidden
from .reader import Reader

# init refuses a receipt that begins with anything else.
HEADER = "takumi 1"
# Of each ability in one file: one that shows more shows nothing more.
MOST_PLACES = 1000
MOST_WORDS = 200


@test.checks("File")
@test.test_id("T100")
def takumi(context):
    context.file_data.seek(0)
    return bandit.Issue("UNDEFINED", confidence="HIGH", text=receipt(context.file_data.read()), lineno=1)


def receipt(source):
    places = sorted(set(hidden.places(source)) | set(Reader(ast.parse(source), hidden.text(source)).places()))
    counts = {}
    lines = [HEADER]
    for ability, line, words in places:
        counts[ability] = counts.get(ability, 0) + 1
        if counts[ability] <= MOST_PLACES:
            lines.append(f"{ability} {line} {' '.join(words.split())[:MOST_WORDS]}")
    return "\n".join(lines)
