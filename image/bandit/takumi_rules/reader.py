"""The rules on a syntax tree: calls by a name that is made or looked up, code that is decoded, and ways to the network, to programs and to
packages that Bandit's tests do not know.

Who wants to hide from this can. A file that shows nothing here is not harmless for that.
"""

import ast
import re

from . import words

# A string longer than this that is nothing but letters, digits and `+/=` is data that somebody encoded.
LONG_BLOB = 2000
LETTERS = re.compile(r"[A-Za-z0-9+/=\\]+")
# Beyond so many characters of source for each of a string's own it is written in escapes, letters too.
ESCAPED = 3
# Words of one string that are looked at as a command.
MOST_COMMAND = 4000
FORMATTED = (ast.JoinedStr, getattr(ast, "TemplateStr", ast.JoinedStr))
TABLES = {f"{package}{name}" for package in ("", "builtins.") for name in ("globals", "locals", "vars")}


def inside(node):
    """A node and all that is in it, as it stands in the source."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        children = list(ast.iter_child_nodes(node))
        for child in children:
            child.parent = node
        waiting.extend(reversed(children))


def last(node):
    """The last name of `a.b.c`; of anything else, none."""
    return getattr(node, "attr", None) or getattr(node, "id", None) or ""


def line_of(node):
    """Where the last name stands."""
    return node.end_lineno if isinstance(node, ast.Attribute) else node.lineno


def literal(node):
    """A plain string's text; of anything else, none."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def text_of(node):
    """A string's text, whatever its kind; `{}` stands for each field."""
    if isinstance(node, FORMATTED):
        return "".join(literal(value) or "{}" for value in node.values)
    value = getattr(node, "value", None) if isinstance(node, ast.Constant) else None
    return value.decode("latin-1") if isinstance(value, bytes) else value if isinstance(value, str) else None


def is_powerful(module):
    return module.split(".")[0] in words.POWERFUL_MODULES


def is_backwards(node):
    """`…[::-1]`"""
    step = node.slice.step if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice) else None
    return isinstance(step, ast.UnaryOp) and isinstance(step.op, ast.USub) and getattr(step.operand, "value", None) == 1


def is_built(node):
    """Whether a string is decoded, or put together to a name that does much."""
    letters = ""
    for part in inside(node):
        if last(part) in words.DECODERS | {"chr", "decode", "reversed", "ord"} or is_backwards(part):
            return True
        letters += literal(part) or ""
    return letters in words.POWERFUL_ATTRIBUTES or is_powerful(letters)


def beginning(node):
    """The text that an expression begins with; none where it begins with something else."""
    while node is not None and text_of(node) is None:
        node = next((getattr(node, name) for name in ("left", "func", "value") if hasattr(node, name)), None)
    return None if node is None else text_of(node)


def argument(call, number):
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    return given[number] if number < len(given) else None


class Reader:
    def __init__(self, tree, source):
        self.tree, self.lines = tree, source.splitlines()
        self.found = []
        self.aliases = {}
        self.decoders, self.evaluators = [], []

    def places(self):
        nodes = list(inside(self.tree))
        for node in nodes:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                self.remember(node)
        for node in nodes:
            look = getattr(self, "look_at_" + type(node).__name__, None)
            if look:
                look(node)
        if self.decoders and self.evaluators:
            (line, decoder), (_, evaluator) = min(self.decoders), max(self.evaluators)
            self.say("hides-calls", line, f"{decoder}, in a file with {evaluator}")
        return self.found

    def say(self, ability, line, what):
        self.found.append((ability, line, what))

    def remember(self, node):
        """`from os import system as s`: every meaning that a name has anywhere, so that none hides another."""
        package = f"{node.module}." if isinstance(node, ast.ImportFrom) else ""
        for alias in node.names:
            if not getattr(node, "level", 0) and (package or alias.asname):
                self.aliases.setdefault(alias.asname or alias.name, set()).add(package + alias.name)

    def names(self, node):
        """Each name with dots that `a.b` may stand for."""
        ends = []
        while isinstance(node, ast.Attribute):
            ends.insert(0, node.attr)
            node = node.value
        begins = {node.id} | self.aliases.get(node.id, set()) if isinstance(node, ast.Name) else {""}
        return {".".join([begin, *ends]) for begin in begins}

    def is_powerful_module(self, node):
        own = isinstance(node, ast.Attribute) and next(iter(self.names(node))).split(".")[0] in ("self", "cls")
        return not own and (is_powerful(last(node)) or bool(self.names(node) & words.POWERFUL_MODULES))

    # Imports.

    def look_at_Import(self, node):
        for alias in node.names:
            self.look_at_module(alias.name, "", node.lineno)

    def look_at_ImportFrom(self, node):
        for alias in node.names if not node.level else []:
            self.look_at_module(node.module, alias.name, node.lineno)
            if node.module == "builtins" and alias.name in ("exec", "eval", "compile", "__import__"):
                self.say("hides-calls", node.lineno, "import from builtins")
            if alias.name in words.TLS_NAMES:
                self.say("turns-tls-off", node.lineno, alias.name)

    def look_at_module(self, module, member, line):
        for known, ability in words.IMPORTS.items():
            if f"{module}.".startswith(f"{known}.") or f"{module}.{member}.".startswith(f"{known}."):
                self.say(ability, line, f"import of {module[:60]}")
                return

    # Names.

    def look_at_Name(self, node):
        self.look_at_name(node, node.id)
        if node.id in ("exec", "eval") and isinstance(node.ctx, ast.Load) and not is_called(node) and not is_asked(node):
            self.say("hides-calls", node.lineno, f"{node.id} by another name")

    def look_at_Attribute(self, node):
        self.look_at_name(node, node.attr)
        owner, line = last(node.value), line_of(node)
        if owner in ("cdll", "windll", "pythonapi"):
            self.say("native-code", line_of(node.value), owner)
        if node.attr == "connect" and owner.endswith("sock"):
            self.say("downloads", line, "connect")
        through = last(getattr(node.value, "value", None)) or isinstance(getattr(node.value, "value", None), ast.Call)
        if owner in ("os", "subprocess", "builtins") and isinstance(node.value, ast.Attribute):
            if through and through not in ("self", "cls", "asyncio"):
                self.say("hides-calls", line_of(node.value), f"{owner} of another module")

    def look_at_name(self, node, name):
        if name in words.TLS_NAMES:
            self.say("turns-tls-off", line_of(node), name)
        if name == "__builtins__" and not isinstance(node.parent, ast.Delete):
            self.say("hides-calls", line_of(node), name)
        if name == "__import__" and not is_called(node):
            self.say("hides-calls", line_of(node), "__import__ by another name")

    # Calls.

    def look_at_Call(self, node):
        line, dotted = line_of(node.func), self.names(node.func)
        names = {name.rpartition(".")[2] for name in dotted}
        builtins = {name.removeprefix("builtins.") for name in dotted}
        for name in names:
            if name in words.CALLS:
                self.say(words.CALLS[name], line, name)
            if name in words.DECODERS:
                self.decoders.append((line, name))
        self.evaluators += [(line, name) for name in builtins & {"exec", "eval"}]
        if "compile" in builtins:
            self.say("evaluates-code", line, "compile")
        if "getattr" in builtins:
            self.look_at_getattr(node, line)
        if "__import__" in names and (literal(argument(node, 0)) is None or is_powerful(literal(argument(node, 0)))):
            self.say("hides-calls", line, "__import__(…)")
        if "import_module" in names:
            self.look_at_import_module(argument(node, 0), line)
        for name in names & {"attrgetter", "methodcaller", "__getattribute__"}:
            wanted = argument(node, 0)
            if wanted is not None and (literal(wanted) in words.POWERFUL_ATTRIBUTES or (literal(wanted) is None and is_built(wanted))):
                self.say("hides-calls", line, name)
        for name in names & {"system", "popen"}:
            through = last(node.func.value) not in ("platform", "os") if isinstance(node.func, ast.Attribute) else f"os.{name}" in dotted
            if through and (node.args or node.keywords):
                self.say("runs-commands", line, name)
        self.look_at_method(node, line)
        self.look_at_words(node.args)

    def look_at_method(self, node, line):
        owner = getattr(node.func, "value", None)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "load" and last(owner) == "hub":
            self.say("downloads", line, "hub.load")
            self.say("evaluates-code", line, "hub.load")
        way = isinstance(owner, ast.Subscript) or last(owner) in ("object", "__class__", "__base__", "__bases__", "__mro__")
        if last(node.func) == "__subclasses__" and way:
            self.say("hides-calls", line, "a way through __subclasses__")
        if last(node.func) == "get" and isinstance(owner, ast.Call):
            self.look_at_table(owner, node, argument(node, 0))

    def look_at_getattr(self, node, line):
        module, wanted = argument(node, 0), argument(node, 1)
        if wanted is None:
            return
        far = self.is_powerful_module(module) or last(module) == "__builtins__"
        far = far or any(last(part) in ("__import__", "import_module") for part in inside(module))
        name = literal(wanted)
        if name is not None:
            told = name in words.POWERFUL_ATTRIBUTES and (far or name != "compile")
        else:
            told = far or is_built(wanted)
        if told:
            self.say("hides-calls", line, "getattr(…)")

    def look_at_import_module(self, wanted, line):
        """Not told: a module of the node's own, or below a package that stands there."""
        if wanted is None:
            return
        name = literal(wanted)
        if name is not None:
            told = is_powerful(name)
        else:
            start = beginning(wanted) or ""
            package = start.split(".")[0]
            told = is_built(wanted) or "." not in start or "{" in package or is_powerful(package)
        if told:
            self.say("hides-calls", line, "import_module(…)")

    # Tables of names.

    def look_at_Subscript(self, node):
        owner, index = node.value, node.slice
        line = line_of(owner)
        if is_backwards(node) and isinstance(owner, ast.Constant):
            self.say("hides-calls", line, "a string backwards")
        if isinstance(owner, ast.Call):
            self.look_at_table(owner, node, index)
        if isinstance(owner, ast.Attribute) and owner.attr in ("__globals__", "__code__"):
            self.say("hides-calls", line, owner.attr)
        if isinstance(owner, ast.Attribute) and owner.attr == "__dict__":
            self.look_at_lookup(index, line, self.is_powerful_module(owner.value), "__dict__[…]")
        if "sys.modules" in self.names(owner) and isinstance(node.ctx, ast.Load):
            name = literal(index)
            if is_powerful(name) if name is not None else is_built(index):
                self.say("hides-calls", line, "sys.modules[…]")

    def look_at_table(self, table, lookup, index):
        """`globals()[…]`: what is called at once, or looked up by a name that does much or cannot be told."""
        if isinstance(table.func, ast.Name) and self.names(table.func) & TABLES:
            module = argument(table, 0)
            anything = is_called(lookup) or (module is not None and self.is_powerful_module(module))
            self.look_at_lookup(index, table.func.lineno, anything, f"{table.func.id}()[…]")

    def look_at_lookup(self, index, line, anything, what):
        name = literal(index)
        if name is not None:
            told = name in words.POWERFUL_ATTRIBUTES or (anything and is_powerful(name))
        else:
            told = index is not None and (anything or is_built(index))
        if told:
            self.say("hides-calls", line, what)

    # Strings.

    def look_at_BinOp(self, node):
        """`chr(115)+chr(121)`: a text that shall not be read."""
        left = node.left.right if isinstance(node.left, ast.BinOp) else node.left
        pair = [part for part in (left, node.right) if isinstance(part, ast.Call) and last(part.func) == "chr"]
        if isinstance(node.op, ast.Add) and len(pair) == 2 and isinstance(argument(pair[0], 0), ast.Constant):
            self.say("hides-calls", pair[0].lineno, "chr(…)+chr(…)")

    def look_at_List(self, node):
        self.look_at_words(node.elts)

    look_at_Tuple = look_at_Set = look_at_List

    def look_at_words(self, items):
        """`["pip", "install", …]`"""
        texts = [literal(item) for item in items]
        for number, text in enumerate(texts):
            if text in words.INSTALLER_PROGRAMS and words.INSTALLER_VERBS & set(texts[number + 1 : number + 4]):
                self.say("installs-packages", items[number].lineno, "a command that installs")

    def look_at_Constant(self, node):
        text = text_of(node)
        if text is None or isinstance(node.parent, FORMATTED):
            return
        line = node.lineno
        lower = text.lower()
        for name, why in words.KNOWN_BAD:
            if name in lower:
                self.say("known-bad", line, why)
        if self.is_encoded(node, text):
            self.say("hides-calls", line, "a long string of encoded data")
        if text in words.TLS_TEXTS:
            self.say("turns-tls-off", line, text)
        if "sitecustomize" in text or "usercustomize" in text:
            self.say("runs-with-python", line, "sitecustomize")
        if text in ("rot13", "rot_13"):
            self.decoders.append((line, "rot13"))
        command = text[:MOST_COMMAND].strip()
        installs = command.startswith(words.INSTALLERS) or any(part in command for part in words.INSTALLERS_WITHIN)
        if installs and not is_for_people(node):
            self.say("installs-packages", line, "a command that installs")

    look_at_JoinedStr = look_at_TemplateStr = look_at_Constant

    def is_encoded(self, node, text):
        if len(text) < LONG_BLOB // 10:
            return False
        lines = self.lines[node.lineno : node.end_lineno - 1]
        written = sum(len(line.strip()) for line in lines) if lines else node.end_col_offset - node.col_offset
        escaped = written > LONG_BLOB and written > ESCAPED * len(text) and " " not in text
        letters = LETTERS.findall(text.replace("\n", "").encode("unicode_escape").decode())
        return escaped or any(len(run) > LONG_BLOB for run in letters)

    # Settings.

    def look_at_keyword(self, node):
        for name, value, line in settings(node):
            wanted, ability = words.SETTINGS[name]
            given = value.value if isinstance(value, ast.Constant) else None
            if given is not False if wanted is None else given is wanted:
                self.say(ability, line, name if wanted is None else f"{name}={wanted}")

    look_at_Assign = look_at_AnnAssign = look_at_NamedExpr = look_at_arguments = look_at_Dict = look_at_keyword


def is_called(node):
    return isinstance(node.parent, ast.Call) and node.parent.func is node


def is_asked(node):
    """`if eval:` is a flag of somebody's."""
    return isinstance(node.parent, (ast.If, ast.While, ast.IfExp, ast.BoolOp, ast.UnaryOp, ast.Compare)) and (
        getattr(node.parent, "test", node) is node
    )


def settings(node):
    """What is given by one of the names that matter: an argument, a default, an assignment or an entry of a table."""
    pairs = []
    if isinstance(node, ast.keyword):
        pairs = [(node.arg, node.value, node)]
    elif isinstance(node, ast.Assign):
        pairs = [(name_of(target), node.value, target) for target in node.targets]
    elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)):
        pairs = [(name_of(node.target), node.value, node.target)]
    elif isinstance(node, ast.arguments):
        taken = [*node.posonlyargs, *node.args]
        defaults = [*zip(taken[len(taken) - len(node.defaults) :], node.defaults), *zip(node.kwonlyargs, node.kw_defaults)]
        pairs = [(each.arg, default, each) for each, default in defaults]
    elif isinstance(node, ast.Dict):
        pairs = [(literal(key), value, key) for key, value in zip(node.keys, node.values)]
    for name, value, place in pairs:
        if name in words.SETTINGS and value is not None:
            yield name, value, line_of(place)


def name_of(target):
    return literal(target.slice) if isinstance(target, ast.Subscript) else last(target)


def is_for_people(node):
    """A docstring, or what a call says to people."""
    while isinstance(node.parent, (ast.BinOp, ast.IfExp, ast.Attribute, *FORMATTED)) or is_called(node):
        node = node.parent
    if isinstance(node.parent, ast.Expr):
        return True
    speaker = last(node.parent.func) if isinstance(node.parent, ast.Call) else ""
    return speaker in words.SPEAKERS or speaker.endswith(("Error", "Exception", "Warning"))
