"""What a file's text hides from whoever reads it, and its syntax tree does not have."""

import io
import re
import tokenize

LONG_COMMENT = 2000
WIDE_GAP = 150
# Letters that Python takes for the ASCII ones that they look like (NFKC, PEP 3131): mathematical, full-width, raised, lowered and joined
# ones, and the long s.
ALIKE = re.compile(
    "[\u00aa\u00ba\u017f\u02b0-\u02b8\u1d2c-\u1d6a\u2071\u207f\u2090-\u209c\u2100-\u214f\u2160-\u217f\ufb00-\ufb06\uff21-\uff5a"
    "\U0001d400-\U0001d7ff]"
)
GAP = re.compile(rf"\S[ \t\f]{{{WIDE_GAP}}}")
# Encodings in which ASCII looks like ASCII.
PLAIN = ("utf-8", "utf8", "ascii", "us-ascii", "latin", "iso-8859-", "iso8859-", "iso-latin-1", "cp125", "windows-125")


def encoding(source):
    return tokenize.detect_encoding(io.BytesIO(source).readline)[0]


def text(source):
    return source.decode(encoding(source))


def places(source):
    name = encoding(source).lower().replace("_", "-")
    if not name.startswith(PLAIN):
        yield "hides-calls", 1, f"is written in {name}"
    written = text(source)
    # Python's tokenizer is slow: it is asked only where one of the three may be.
    comment = any(len(line) > LONG_COMMENT and "#" in line for line in written.splitlines())
    if comment or GAP.search(written) or ALIKE.search(written):
        yield from places_in_tokens(written)


def places_in_tokens(written):
    end = (0, 0)
    for token in tokenize.generate_tokens(io.StringIO(written, newline=None).readline):
        row, column = token.start
        if token.type == tokenize.COMMENT:
            if len(token.string) > LONG_COMMENT:
                yield "hides-calls", row, "a comment of thousands of characters"
        elif row == end[0] and column - end[1] >= WIDE_GAP and token.string.strip():
            yield "hides-calls", row, "code far to the right"
        if token.type == tokenize.NAME and ALIKE.search(token.string):
            yield "hides-calls", row, "a name in letters that only look like others"
        end = token.end
